-- One atomic step of a circuit's row; steps.py explains it and holds its twin.
local w, r = {}, {}
for i = 1, #ARGV, 2 do w[ARGV[i]] = ARGV[i + 1] end
local raw = redis.call('HGETALL', KEYS[1])
for i = 1, #raw, 2 do r[raw[i]] = raw[i + 1] end
local function num(x) return tonumber(x) or 0 end
local function text(x) return string.format('%.17g', x) end
local function answer(word, state, mode)
  local out = {word, state, mode}
  for k, v in pairs(r) do out[#out + 1] = k; out[#out + 1] = v end
  return out
end
local id = w.id or ''
local function save(change)
  r.version = text(num(r.version) + 1)
  r.change = change or (r.version .. ' ' .. id)
  redis.call('DEL', KEYS[1])
  for k, v in pairs(r) do redis.call('HSET', KEYS[1], k, v) end
end

local function words(line)
  local out = {}
  for word in (line or ''):gmatch('%S+') do out[#out + 1] = word end
  return out
end
local function without(ids, some)
  local out, gone = {}, {}
  for _, id in ipairs(words(some)) do gone[id] = true end
  for _, id in ipairs(words(ids)) do if not gone[id] then out[#out + 1] = id end end
  return out
end
local function knows(row, ids) return #without(ids, row.openings) == 0 end
local function latest(older, newer)
  local out = without(older, newer)
  for _, id in ipairs(words(newer)) do out[#out + 1] = id end
  return table.concat(out, ' ', math.max(1, #out - 15))
end
local function join(kept, lost)
  local stops = latest(table.concat(without(lost.stopped_by, kept.openings), ' '), kept.stopped_by)
  local known = table.concat(without(kept.openings, lost.openings), ' ')
  kept.openings = latest((lost.openings or '') .. ' ' .. known, stops)
  if stops ~= '' then kept.stopped_by = stops end
  kept.version, kept.change = text(math.max(num(kept.version), num(lost.version))), nil
  return kept
end

local now = num(w.now)
if w.kind == 'restore' then
  w.kind, w.now, w.seen, w.id = nil, nil, nil, nil
  local newer = num(w.version) > num(r.version)
  if not newer and knows(r, w.stopped_by) then return answer('refused', r.state, r.mode) end
  if not knows(w, r.stopped_by) then
    r = join(r, w)
  elseif newer and knows(w, r.openings) then
    r = w
    r.version = text(num(r.version) - 1)
  else
    r = join(w, r)
  end
  save(r.change)
  return answer('done', r.state, r.mode)
end
if num(r.version) < num(w.seen) or not knows(r, w.stopped_by) then return {'lost', '', ''} end
r.state, r.mode = r.state or 'closed', r.mode or 'normal'
local state, mode = r.state, r.mode
if w.kind == 'forget' then
  local over = state == 'closed' and mode == 'normal' and num(r.moved) < num(w.before)
  if not over or num(r.version) ~= num(w.expect) then return answer('refused', state, mode) end
  redis.call('DEL', KEYS[1])
  return {'done', state, mode}
end

local held = 'probe:' .. (w.holder or '')
local function holds() return r.state == 'half_open' and r[held] ~= nil end
local function permits()
  local out = {}
  for k in pairs(r) do if k:sub(1, 6) == 'probe:' then out[#out + 1] = k end end
  return out
end
local function entered(to, at)
  r.state, r.since = to, text(at)
  r.passed, r.retry_at, r.open_for = nil, nil, nil
  if to == 'closed' then r.stopped_by = nil end
  for _, k in ipairs(permits()) do r[k] = nil end
end
local function moved(at)
  r.moved, r.last, r.actor, r.reason = text(at), w.id, w.actor, w.reason
end
local function opened(at)
  local forgiven = math.max(0, math.floor((at - num(r.tripped_at)) / num(w.max)))
  local trips = math.max(0, num(r.trips) - forgiven)
  local span = num(w.open_s)
  if w.open_s == '' then span = math.min(num(w.max), num(w.base) * num(w.growth) ^ trips) end
  entered('open', at)
  r.trips, r.tripped_at, r.finding, r.opener = text(trips + 1), text(at), w.finding, w.actor
  r.openings, r.stopped_by = latest(r.openings, w.id), w.id
  r.open_for, r.retry_at = text(span), text(at + span)
end
local function permit() r[held] = text(num(w.wall) + num(w.lease_s)) end
local function rule()
  if w.kind == 'trip' then
    if mode ~= 'normal' or (w.expect ~= '' and num(w.expect) ~= num(r.version)) then return 'refused' end
    if w.holder ~= '' and not holds() then return 'refused' end
    if state ~= 'open' then opened(now); moved(now); return 'moved' end
    if w.open_s == '' or now + num(w.open_s) <= num(r.retry_at) then return 'refused' end
    r.open_for, r.retry_at = w.open_s, text(now + num(w.open_s))
    return 'done'
  elseif w.kind == 'half_open' then
    if state ~= 'open' then return 'refused' end
    entered('half_open', now); moved(now); return 'moved'
  elseif w.kind == 'reset' then
    if state == 'closed' then return 'refused' end
    entered('closed', now); moved(now)
    r.trips, r.finding, r.opener = nil, nil, nil
    return 'moved'
  elseif w.kind == 'mode' then
    if mode == w.mode then return 'refused' end
    r.mode = w.mode; moved(now); return 'moved'
  elseif w.kind == 'probe' then
    if mode ~= 'normal' then return 'refused' end
    if state == 'open' then
      if r.retry_at and now >= num(r.retry_at) then
        entered('half_open', now); moved(now); permit(); return 'moved'
      end
      if not r.retry_at or num(r.since) <= now then return 'refused' end
      r.since, r.retry_at = text(now), text(now + num(r.open_for))
      return 'done'
    elseif state ~= 'half_open' then return 'refused' end
    local wall, latest, living, ahead = num(w.wall), num(w.wall) + num(w.lease_s), 0, false
    for _, k in ipairs(permits()) do
      if num(r[k]) > latest then r[k] = text(latest); ahead = true end
      if k ~= held and num(r[k]) > wall then living = living + 1 end
    end
    local wanted = math.max(1, num(w.probes))
    if living + math.min(num(r.passed), wanted - 1) >= wanted then return ahead and 'done' or 'refused' end
    for _, k in ipairs(permits()) do if num(r[k]) <= wall then r[k] = nil end end
    permit()
    return 'done'
  elseif w.kind == 'close' then
    if not holds() then return 'refused' end
    r[held] = nil
    local passed = num(r.passed) + 1
    if passed < math.max(1, num(w.probes)) then r.passed = text(passed); return 'done' end
    entered('closed', now); moved(now)
    r.finding, r.opener = nil, nil
    return 'moved'
  elseif w.kind == 'renew' then
    if not holds() then return 'refused' end
    permit()
    return 'done'
  elseif w.kind == 'release' then
    if not holds() then return 'refused' end
    r[held] = nil; return 'done'
  elseif w.kind == 'adopt' then
    local at = math.min(num(w.time), now)
    if r.last == w.id or at < num(r.moved) then return 'refused' end
    if w.mode ~= '' then r.mode = w.mode end
    if w.state == 'open' and state ~= 'open' then opened(at)
    elseif w.state ~= '' and w.state ~= state then entered(w.state, at) end
    if r.state == state and r.mode == mode then return 'refused' end
    moved(at); return 'moved'
  end
  return 'refused'
end

local word = rule()
if word ~= 'refused' then save() end
return answer(word, state, mode)
