//! The scripts of topics whose last messages are kept, in the Lua of Redis.
//!
//! A name has two keys: a hash with its epoch (`e`, eight bytes), its last number (`n`) and the bytes that are kept (`b`), and
//! a list of frames, the newest one last. A script runs alone, so numbers, list and channel have one order. The layout of a
//! frame is that of `hub/frame.rs`: the epoch and the number are at its bytes 16 and 24.

use std::fmt::Write as _;

/// A script and the name by which the broker knows it.
pub(super) struct Script {
    pub(super) source: &'static str,
    pub(super) sha: String,
}

impl Script {
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

/// The last position of a name, and its newest frames after a position, at most so many bytes.
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
