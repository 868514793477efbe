-- The quota's one atomic step; steps.py explains it and holds its twin.
local w = cjson.decode(ARGV[1])
local function text(n) return string.format('%.0f', n) end

local function load(name)
  local row = {until_at = 0, keep = 0, newest = 0, held = 0, expired = 0, slots = {}}
  local raw = redis.call('HGET', KEYS[1], 'w:' .. name)
  if raw then
    local a, b, c, d, e, rest = raw:match('^(%S+) (%S+) (%S+) (%S+) (%S+)(.*)$')
    row.until_at, row.keep, row.newest = tonumber(a), tonumber(b), tonumber(c)
    row.held, row.expired = tonumber(d), tonumber(e)
    for slot, n in rest:gmatch('(%d+):(%d+)') do row.slots[tonumber(slot)] = tonumber(n) end
  end
  return row
end
local function written(row)
  local parts = {text(row.until_at), text(row.keep), text(row.newest), text(row.held), text(row.expired)}
  for slot = row.newest - row.keep, row.newest do
    if row.slots[slot] then parts[#parts + 1] = text(slot) .. ':' .. text(row.slots[slot]) end
  end
  return table.concat(parts, ' ')
end
local function save(name, row) redis.call('HSET', KEYS[1], 'w:' .. name, written(row)) end
local function total(row)
  local sum = 0
  for _, n in pairs(row.slots) do sum = sum + n end
  return sum
end
local function roll(row, place)
  row.keep = place.keep
  row.newest = math.max(row.newest, place.slot)
  row.until_at = math.max(row.until_at, place['until'])
  for slot in pairs(row.slots) do
    if slot < row.newest - row.keep then row.slots[slot] = nil end
  end
  row.expired = math.min(row.expired, total(row))
end
local function charge(row, n) row.slots[row.newest] = (row.slots[row.newest] or 0) + n end

local SPARE = 8
local ops = {}
function ops.reserve(op)
  local rows, fits, more = {}, true, op.more or 0
  for i, ask in ipairs(op.rows) do
    rows[i] = load(ask.row)
    roll(rows[i], ask)
    if ask.limit and ask.n > 0 then
      local room = ask.limit - total(rows[i]) - ask.n
      if room < 0 then fits = false end
      more = math.min(more, math.floor(room / (SPARE * ask.n)))
    end
  end
  if not fits then more = 0 end
  local answer, mine = {fits and 'ok' or 'short', text(more)}, {}
  for i, ask in ipairs(op.rows) do
    local row = rows[i]
    if fits then
      local n = ask.n * (more + 1)
      charge(row, n)
      row.held = row.held + n
      save(ask.row, row)
      mine[i] = text(row.newest) .. ' ' .. text(n) .. ' ' .. ask.row
    end
    answer[#answer + 1] = written(row)
  end
  if fits then redis.call('HSET', KEYS[1], 'r:' .. op.id, text(op.lease) .. '\n' .. table.concat(mine, '\n')) end
  return answer
end

local function close(id, spent)
  local raw = redis.call('HGET', KEYS[1], 'r:' .. id)
  redis.call('HDEL', KEYS[1], 'r:' .. id)
  for line in raw:gmatch('\n([^\n]+)') do
    local slot, n, name = line:match('^(%S+) (%S+) (.*)$')
    slot, n = tonumber(slot), tonumber(n)
    local row = load(name)
    row.held = math.max(0, row.held - n)
    if spent == nil then
      row.expired = row.expired + n
    else
      local more = (spent[name] or 0) - n
      if row.slots[slot] then
        row.slots[slot] = math.max(0, row.slots[slot] + more)
      elseif more > 0 then
        charge(row, more)
      end
    end
    save(name, row)
  end
end
local function lease(id)
  local raw = redis.call('HGET', KEYS[1], 'r:' .. id)
  return raw and tonumber(raw:match('^%S+'))
end

function ops.settle(op)
  if not lease(op.id) then return {'gone'} end
  close(op.id, op.spent)
  return {'ok'}
end
function ops.lessen(op)
  local raw = redis.call('HGET', KEYS[1], 'r:' .. op.id)
  if not raw then return {'gone'} end
  local kept = {raw:match('^%S+')}
  for line in raw:gmatch('\n([^\n]+)') do
    local slot, n, name = line:match('^(%S+) (%S+) (.*)$')
    slot, n = tonumber(slot), tonumber(n)
    local less = math.min(n, op.back[name] or 0)
    local row = load(name)
    row.held = math.max(0, row.held - less)
    if row.slots[slot] then row.slots[slot] = math.max(0, row.slots[slot] - less) end
    save(name, row)
    kept[#kept + 1] = text(slot) .. ' ' .. text(n - less) .. ' ' .. name
  end
  if #kept > 1 then redis.call('HSET', KEYS[1], 'r:' .. op.id, table.concat(kept, '\n')) end
  return {'ok'}
end
function ops.renew(op)
  local raw = redis.call('HGET', KEYS[1], 'r:' .. op.id)
  if not raw then return {'gone'} end
  redis.call('HSET', KEYS[1], 'r:' .. op.id, text(op.lease) .. raw:match('^%S+(.*)$'))
  return {'ok'}
end
function ops.charge(op)
  for _, ask in ipairs(op.rows) do
    local row = load(ask.row)
    roll(row, ask)
    charge(row, ask.n)
    save(ask.row, row)
  end
  return {'ok'}
end
function ops.expire(op)
  local ended = lease(op.id)
  if not ended or ended > op.now then return {'gone'} end
  close(op.id, nil)
  return {'ok'}
end
function ops.forget(op)
  local row = load(op.row)
  if row.held > 0 or row.until_at > op.now then return {'kept'} end
  redis.call('HDEL', KEYS[1], 'w:' .. op.row)
  return {'ok'}
end

local function is_over(field, text, now)
  local at = tonumber(text:match('^%S+'))
  return (field:match('^[rw]:') and at <= now) or false
end
function ops.over(op)
  local at, more = redis.call('HGET', KEYS[1], 'at') or '0', '1'
  local piece, found = redis.call('HSCAN', KEYS[1], at, 'COUNT', op.count), {}
  for i = 1, #piece[2], 2 do
    if is_over(piece[2][i], piece[2][i + 1], op.now) then found[#found + 1] = piece[2][i] end
  end
  if piece[1] == '0' then
    more = '0'
    redis.call('HDEL', KEYS[1], 'at')
  else
    redis.call('HSET', KEYS[1], 'at', piece[1])
  end
  table.sort(found)
  local named = #found == 0 and '[]' or cjson.encode(found):gsub('\\/', '/')
  return {'ok', more, named}
end

function ops.turn(op)
  if op.now - tonumber(redis.call('HGET', KEYS[1], 'swept') or '0') < op.every then return {'kept'} end
  redis.call('HSET', KEYS[1], 'swept', text(op.now))
  return {'ok'}
end

redis.call('HSETNX', KEYS[1], 'born', w.born)
local out = {redis.call('HGET', KEYS[1], 'born')}
for _, op in ipairs(w.ops) do out[#out + 1] = table.concat(ops[op.op](op), '\t') end
return table.concat(out, '\n')
