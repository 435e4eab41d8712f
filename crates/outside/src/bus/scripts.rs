//! The scripts of topics whose last messages are kept, in the Lua of Redis.
//!
//! A name has two keys: a hash with its epoch (`e`, eight bytes), its last number (`n`) and the bytes that are kept (`b`), and
//! a list of frames, the newest one last. A script runs alone, so numbers, list and channel have one order. The layout of a
//! frame is that of `hub/frame.rs`: the epoch and the number are at its bytes 16 and 24.

use std::fmt::Write as _;

/// A script and the name by which the broker knows it.
pub(super) struct BrokerScript {
    pub(super) source: &'static str,
    pub(super) sha: String,
}

impl BrokerScript {
    pub(super) fn new(source: &'static str) -> Self {
        let digest = sha1_smol::Sha1::from(source).digest().bytes();
        let sha = digest.iter().fold(String::new(), |mut text, byte| {
            // Writing to a text cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        });
        Self { source, sha }
    }
}

/// Numbers a frame, keeps it and publishes it.
/// Arguments: channel, first 16 bytes, bytes behind the number, messages and bytes to keep, epoch of a new name, seconds that an idle name lives.
pub(super) const PUBLISH: &str = r"
local hash, list = KEYS[1], KEYS[2]
local epoch = redis.call('HGET', hash, 'e')
if not epoch then
  epoch = ARGV[6]
  redis.call('HSET', hash, 'e', epoch)
  redis.call('DEL', list)
end
local number = redis.call('HINCRBY', hash, 'n', 1)
local place = struct.pack('<I4I4', number % 4294967296, math.floor(number / 4294967296))
local frame = ARGV[2] .. epoch .. place .. ARGV[3]
local count = redis.call('RPUSH', list, frame)
if count == 1 then redis.call('HSET', hash, 'b', 0) end
local bytes = redis.call('HINCRBY', hash, 'b', #frame + 64)
while count > tonumber(ARGV[4]) or bytes > tonumber(ARGV[5]) do
  local oldest = redis.call('LPOP', list)
  if not oldest then break end
  count = count - 1
  bytes = redis.call('HINCRBY', hash, 'b', -(#oldest + 64))
end
redis.call('EXPIRE', hash, ARGV[7])
redis.call('EXPIRE', list, ARGV[7])
redis.call('PUBLISH', ARGV[1], frame)
return {epoch, number}
";

/// The last position of a name, and its newest frames after a position, as many as fit into a number of bytes.
/// Arguments: epoch, number, bytes.
pub(super) const REPLAY: &str = r"
local epoch = redis.call('HGET', KEYS[1], 'e')
if not epoch then return {'', 0, 0, ''} end
local last = tonumber(redis.call('HGET', KEYS[1], 'n') or '0')
local after = tonumber(ARGV[2])
if epoch ~= ARGV[1] or after > last then after = 0 end
local wanted = math.min(last - after, redis.call('LLEN', KEYS[2]))
local frames, bytes, full = {}, 0, false
while #frames < wanted and not full do
  local step = math.min(64, wanted - #frames)
  local piece = redis.call('LRANGE', KEYS[2], -(#frames + step), -(#frames + 1))
  if #piece == 0 then break end
  for at = #piece, 1, -1 do
    bytes = bytes + #piece[at]
    if bytes > tonumber(ARGV[3]) then full = true break end
    frames[#frames + 1] = piece[at]
  end
end
local count = #frames
for at = 1, math.floor(count / 2) do frames[at], frames[count + 1 - at] = frames[count + 1 - at], frames[at] end
return {epoch, last, count, table.concat(frames)}
";

/// Does an operation on shared state. Times are in microseconds of the broker's clock, from the base on, so that a double has
/// parts of them. Arguments: operation, owner, then those of the operation.
pub(super) const OPERATE: &str = r"
local key, action, owner = KEYS[1], ARGV[1], ARGV[2]
local function now()
  local time = redis.call('TIME')
  return (tonumber(time[1]) - 1780000000) * 1000000 + tonumber(time[2])
end
local function number(value) return string.format('%.3f', value) end
local function flag(value) return {'o', 'f', value and 1 or 0} end
if action == 'get' then
  local value = redis.call('GET', key)
  if not value then return {'o', 'n'} end
  return {'o', 'v', value}
elseif action == 'set' then
  if ARGV[4] ~= '0' then
    if ARGV[5] == '1' then return flag(redis.call('SET', key, ARGV[3], 'PX', ARGV[4], 'NX')) end
    return flag(redis.call('SET', key, ARGV[3], 'PX', ARGV[4]))
  end
  if ARGV[5] == '1' then return flag(redis.call('SET', key, ARGV[3], 'NX')) end
  return flag(redis.call('SET', key, ARGV[3]))
elseif action == 'add' then
  local is_new = redis.call('EXISTS', key) == 0
  redis.call('INCRBY', key, ARGV[3])
  if is_new and ARGV[4] ~= '0' then redis.call('PEXPIRE', key, ARGV[4]) end
  return {'o', 'i', redis.call('GET', key)}
elseif action == 'delete' then
  return flag(redis.call('DEL', key) == 1)
elseif action == 'admit' then
  local at, interval, tolerance = now(), tonumber(ARGV[3]), tonumber(ARGV[4])
  local due = math.max(tonumber(redis.call('GET', key) or '0'), at)
  -- A clock that was set back would refuse for as long.
  due = math.min(due, at + tolerance + interval)
  local latest, next, admitted = at + tolerance, due, 0
  if due <= latest then
    admitted, next = 1, due + interval
    redis.call('SET', key, number(next), 'PX', math.ceil((next - at) / 1000) + 1)
  end
  local left = 0
  if latest >= next then left = math.floor((latest - next) / interval) + 1 end
  return {'o', 'a', admitted, left, number(math.max(next - latest, 0)), number(next - at), number(at)}
elseif action == 'lock' then
  local left = redis.call('PTTL', key)
  if left > 0 then return {'o', 'h', left} end
  local token = math.max(redis.call('INCR', KEYS[2]), now())
  redis.call('SET', KEYS[2], string.format('%.0f', token))
  redis.call('SET', key, string.format('%.0f', token), 'PX', ARGV[3])
  return {'o', 'l', string.format('%.0f', token)}
elseif action == 'renew' then
  if redis.call('GET', key) ~= ARGV[3] then return flag(false) end
  return flag(redis.call('PEXPIRE', key, ARGV[4]) == 1)
elseif action == 'unlock' then
  if redis.call('GET', key) ~= ARGV[3] then return flag(false) end
  return flag(redis.call('DEL', key) == 1)
elseif action == 'tick' then
  local at, period = now(), tonumber(ARGV[3])
  local known = redis.call('HMGET', key, 'period', 'begun', 'last', 'runner', 'seen')
  local begun, last, runner = tonumber(known[2] or ''), tonumber(known[3] or '0'), known[4]
  local seen = tonumber(known[5] or '0')
  -- A clock that was set back takes the schedule along.
  if begun and at < seen then begun = begun - (seen - at) end
  if runner == '' then runner = false end
  if known[1] ~= ARGV[3] or not begun then
    begun, last, runner = at, 0, false
    redis.call('HSET', key, 'period', ARGV[3])
  end
  if runner and runner ~= owner and redis.call('EXISTS', KEYS[2] .. runner) == 0 then runner = false end
  if runner == owner then runner = false end
  local tick, given = math.floor((at - begun) / period), 0
  if ARGV[4] == '0' and tick > last and not runner then
    given, last, runner = 1, tick, owner
    redis.call('SET', KEYS[2] .. owner, '', 'PX', ARGV[5])
  end
  redis.call('HSET', key, 'begun', string.format('%.0f', begun), 'seen', string.format('%.0f', at))
  redis.call('HSET', key, 'last', string.format('%.0f', last), 'runner', runner or '')
  redis.call('PEXPIRE', key, string.format('%.0f', math.max(period * 10 / 1000, 86400000)))
  return {'o', 't', given, string.format('%.0f', last), number(period - (at - begun) % period)}
end
return redis.error_reply('ERR unknown operation')
";
