"""Where a process finds its keys."""

from pathlib import Path

import pytest

from fusebox.command import Signer, allow_list
from fusebox.config import Config
from fusebox.errors import ConfigError
from rabbitmq.wiring import KeyList
from tests.fixtures.files import no_file_can_be_opened


def test_a_key_list_that_could_not_be_read_for_a_moment_is_read_later(tmp_path: Path) -> None:
    keys, listed = KeyList(Config(data_dir=tmp_path)), tmp_path / "command_keys.json"
    for signers in ([Signer.generate()], [Signer.generate(), Signer.generate()]):
        listed.write_text(allow_list(*signers))
        with no_file_can_be_opened(), pytest.raises(ConfigError, match="Too many open files"):
            keys.news()
        assert keys.news() is not None, "without it no Command would be obeyed, a kill neither"
        assert keys.news() is None
        listed.unlink()
        assert keys.news() is None
