"""The one atomic step that changes a context, as Lua and as its twin; :mod:`governance.context` has the format."""

from __future__ import annotations

from typing import Final

from fusebox.store import Script

WRITTEN: Final = "written"
MOVED: Final = "moved"
CONFLICT: Final = "conflict"
FULL: Final = "full"


def _write(row: dict[str, str], args: tuple[str, ...]) -> list[object]:
    number, sealed, fact, version, most, room = args
    newest = int(row.get("n", "0"))
    if newest != int(number) - 1:
        return [MOVED, newest, 0]
    before, size = row.get(f"f:{fact}", "") if fact else "", len(sealed)
    facts = int(row.get("facts", "0")) - len(before) + (size if fact else 0)
    if fact and int(before.split(" ")[0] or 0) != int(version):
        return [CONFLICT, newest, 0]
    if size > int(room) or facts > int(room):
        return [FULL, newest, 0]
    first, kept, dropped = int(row.get("first", "1")), int(row.get("kept", "0")), 0
    while int(number) - first >= int(most) or kept + size > int(room):
        kept -= len(row.pop(f"e:{first}"))
        first, dropped = first + 1, dropped + 1
    row.update({"n": number, "first": str(first), "kept": str(kept + size), "facts": str(facts), f"e:{number}": sealed})
    if fact:
        row[f"f:{fact}"] = sealed
    return [WRITTEN, int(number), dropped]


WRITE: Final = Script(
    """
    local number, sealed, fact, version = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4])
    local most, room = tonumber(ARGV[5]), tonumber(ARGV[6])
    local function count(name, otherwise) return tonumber(redis.call('HGET', KEYS[1], name) or otherwise) end
    local newest = count('n', 0)
    if newest ~= number - 1 then return {'moved', newest, 0} end
    local before, size = fact ~= '' and redis.call('HGET', KEYS[1], 'f:' .. fact) or '', #sealed
    local facts = count('facts', 0) - #before
    if fact ~= '' then
        facts = facts + size
        if (tonumber(string.match(before, '^%d+')) or 0) ~= version then return {'conflict', newest, 0} end
    end
    if size > room or facts > room then return {'full', newest, 0} end
    local first, kept, dropped = count('first', 1), count('kept', 0), 0
    while number - first >= most or kept + size > room do
        kept = kept - redis.call('HSTRLEN', KEYS[1], 'e:' .. first)
        redis.call('HDEL', KEYS[1], 'e:' .. first)
        first, dropped = first + 1, dropped + 1
    end
    redis.call('HSET', KEYS[1], 'n', number, 'first', first, 'kept', kept + size, 'facts', facts,
        'e:' .. number, sealed)
    if fact ~= '' then redis.call('HSET', KEYS[1], 'f:' .. fact, sealed) end
    return {'written', number, dropped}
    """,
    _write,
)
"""``number, sealed, fact, version, most, room`` → ``[word, newest, dropped]``; changes nothing unless WRITTEN."""
