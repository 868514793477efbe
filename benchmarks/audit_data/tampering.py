"""Every way to tamper with an audit log, each with the number of the first entry that is wrong afterwards.

Where journal, copy and hashes are all made to agree (``…_everywhere``), only signatures are left to contradict; then
that is the first entry that no agreeing checkpoint vouches for.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from benchmarks.audit_data import in_chains, in_entries
from benchmarks.audit_data.logs import Log
from benchmarks.audit_data.tampered import Tampered

TAMPERINGS: Final[tuple[Callable[[random.Random, Log], Tampered], ...]] = (
    in_entries.edit_journal,
    in_entries.edit_number,
    in_entries.edit_payload,
    in_entries.edit_and_rehash,
    in_entries.edit_and_rechain,
    in_entries.edit_everywhere,
    in_entries.edit_copy,
    in_entries.edit_payload_of_copy,
    in_entries.edit_copy_and_rehash,
    in_entries.erase_unsaid,
    in_entries.insert_forged,
    in_entries.insert_twice,
    in_entries.insert_and_rechain,
    in_entries.insert_into_copy,
    in_entries.insert_behind_copy,
    in_entries.reorder_journal,
    in_entries.reorder_and_rechain,
    in_entries.reorder_copy,
    in_chains.delete_journal,
    in_chains.gap,
    in_chains.delete_and_rechain,
    in_chains.delete_copy,
    in_chains.delete_copy_unseen,
    in_chains.delete_everywhere,
    in_chains.truncate_journal,
    in_chains.truncate_copy,
    in_chains.truncate_everywhere,
    in_chains.roll_back,
    in_chains.chain_gone,
    in_chains.chain_gone_everywhere,
    in_chains.delete_start,
    in_chains.wrong_key,
    in_chains.old_key,
    in_chains.edit_checkpoint,
    in_chains.delete_checkpoint,
    in_chains.fork_with_the_key,
    in_chains.contradict,
)
