"""The audit log: what was decided, by whom and why, so that nobody can change it later without being seen.

Every writer (``watch``, ``keep``) has a folder ``<data_dir>/journal/<writer>/`` that is the record::

    000000000000.jsonl    entries, one line each; a file is named after its first sequence number
    checkpoints.jsonl     signed checkpoints, one line each
    key, key.pub          the Ed25519 key that signs (0600), and the public half of the chain's first key
    key.next              the key to change to, until the writer has done so
    owed.jsonl            what acted before it could be journaled (kills), until it is

**Entry.** One JSON object a line, UTF-8, LF, in the canonical form of RFC 8785 (sorted keys, no white space)::

    {"actor", "hash", "kind", "payload", "payload_hash", "prev", "reason", "seq", "span_id", "subject", "time",
     "trace_id", "writer"}

All are strings, but ``seq`` (0, 1, 2 …), ``time`` (Unix microseconds) and ``payload`` (an object). With ``||`` for
"followed by" and everything in lower-case hex:

* ``payload_hash`` = SHA-256(canonical payload)
* ``hash`` = SHA-256(0x00 || canonical entry without ``hash`` and ``payload``): the leaf hash of RFC 6962, section 2.1
* ``prev`` = ``hash`` of the entry before; 64 zeros for the first

So the hash covers every field, the payload by its own hash. That lets a payload be erased: ``null`` and spaces take its
place on the line, and an entry of kind ``erasure`` says by whom and why. Nothing else may be missing.

**Tree.** The hashes are the leaves of a Merkle tree of RFC 6962 (node = SHA-256(0x01 || left || right)).

**Checkpoint.** One JSON object a line, canonical likewise::

    {"frontier", "head", "key", "next", "previous", "root", "signature", "size", "time", "writer", "writers"}

It says: the first ``size`` entries of ``writer`` have this ``root``, the last of them this ``head`` (its hash);
``frontier`` are the roots of the tree's perfect subtrees, largest first, ``previous`` is the signature of the
checkpoint before, and ``writers`` says of every *other* chain how far its own last checkpoint went (``size``,
``root``): a chain that is gone is missed. ``signature`` is the Ed25519 signature (base64) of the bytes
``fusebox-audit-checkpoint-1`` LF and the canonical checkpoint without ``signature``; ``key`` is the first 16 hex digits
of the SHA-256 of the public key. One is made every 1,000 entries, 60 seconds after an entry that has none, at once
after an entry of :data:`AT_ONCE`, and when the writer stops.

**Keys.** The first checkpoint is signed by the key in ``key.pub``. A change of keys is an entry of kind ``key``; the
checkpoint right behind it, still signed by the old key, holds the new public key (base64) in ``next``, which is empty
otherwise. From the new key's first checkpoint on the old one is worth nothing.

**Retention.** Files may be deleted from the front, up to a checkpoint; an entry of kind ``retention`` says so (payload
``below``: the first number that is left). The checkpoint's frontier stands for what is gone.

What this proves and what not is told in ``docs/guide/audit.md``.
"""

from typing import Final

AT_ONCE: Final = frozenset(
    {"kill", "resume", "approval", "commit", "config", "key", "erasure", "retention", "recovered", "verification"}
)
"""Kinds of entries that are signed at once."""
EVERY: Final = 1_000
"""Entries after which a checkpoint is made."""
EVERY_S: Final = 60.0
"""Seconds that an entry waits for a checkpoint at most."""
