"""Workflow context: what the agents of one workflow remember together.

One hash in the state store for each workflow, ``fusebox:context:<tenant>:<workflow>`` (both percent-encoded), which
expires ``keep_s`` seconds after its last change::

    n          number of the newest entry; without an entry there is no hash
    first      number of the oldest entry that is kept
    kept       bytes of the entries that are kept
    facts      bytes of the facts
    e:<n>      entry n, sealed (:mod:`governance.context.seal`)
    f:<name>   the entry that gave this fact its value, sealed: the same bytes that e:<n> has or had

A fact is compared and set; its version is the number of its entry, so no version comes twice::

    absent (version 0) ── put, version 0 ──► n ── put, version n ──► m > n
                       └─ put, any other version: ContextConflict, nothing is written

Invariants, each checked whenever a context is read:

1. e:first … e:n are all there and no others; what was written under a number never changes.
2. Every value is sealed for its tenant, its workflow and its number.
3. The newest kept entry about a fact is its value; a fact is no newer than n.
4. At most ``max_entries`` entries of ``max_bytes`` bytes, and facts of ``max_bytes``; the oldest entries make room and
   are counted (``History.forgotten``), a fact never does.
5. n only grows. A message carries the n that its sender knew (header ``fusebox-context``), so a store that was flushed,
   restored from a backup or replaced by a stale replica is :class:`ContextLost`, never an empty or a shorter history.

Whoever can write to the store, and has no key, can delete a context or its oldest entries, or bring an older state of
it back; 5 notices the first and the last as soon as a message knows better. A fact whose entry is gone can be deleted,
or given a value that it had before. Whoever has the key is believed, also about who wrote. A write whose answer was
lost (:class:`StoreUnavailable`) may have been made; a handler that runs again remembers again.
"""

from governance.context.contexts import Bounds, Contexts
from governance.context.entry import FACT, Entry, History

__all__ = ["FACT", "Bounds", "Contexts", "Entry", "History"]
