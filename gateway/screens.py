"""Screens: what the screens of all calls share, and the secret of their placeholders."""

from __future__ import annotations

from contextlib import AbstractContextManager, closing, nullcontext
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fusebox.records import Action
from fusebox.rundir import key_at
from gateway.filter import Canaries, OutputFilter
from gateway.masking import KEY_BYTES
from gateway.screen import Ruled, Screen

if TYPE_CHECKING:
    from gateway.masking.masker import Masker

_NO_SCREEN: Final = nullcontext()


class Screens:
    """What all calls share.

    Args:
        masker: None where nothing is to be masked.
        output: None where nothing is to be filtered.
        canaries: planted in every conversation, and looked for in what comes back; None for none.
        ruled: told of each refusal, and of what was changed or remarked on.
    """

    def __init__(
        self, masker: Masker | None, output: OutputFilter | None, canaries: Canaries | None, ruled: Ruled
    ) -> None:
        self._masker, self._output, self._canaries, self._ruled = masker, output, canaries, ruled

    def opened(self, route: str, action: Action, asked: bytes) -> AbstractContextManager[Screen | None]:
        """Around one call: its screen, None where none is configured.

        However the call ends, what was replaced and what passed with a remark is audited, by kind and number.

        Args:
            asked: the call, which stands for its workflow where it names none: people who have agreed to it, and who
                look for loops, know it again by its placeholders.
        """
        screen = self._screen(route, action, asked)
        return closing(screen) if screen is not None else _NO_SCREEN

    def _screen(self, route: str, action: Action, asked: bytes) -> Screen | None:
        if self._masker is None and self._output is None:
            return None
        session = None
        if self._masker is not None:
            workflow = action.workflow or blake2b(asked, digest_size=16).hexdigest()
            session = self._masker.session(route, workflow=workflow, tenant=action.tenant, agent=action.agent)
        # of all an agent's workflows: what is carried out of one may leave by a call that names none
        canary = self._canaries.plant(action.agent, tenant=action.tenant) if self._canaries else ""
        return Screen(action, session, self._output, canary, self._ruled)


def mask_key(data_dir: Path) -> bytes:
    """The secret of placeholders and hashes, made at the first start and shared by all gateways of a data folder."""
    return key_at(data_dir / "gateway_mask.key", KEY_BYTES, "the same value then has another placeholder")
