//! Where a handler is, in whichever process: its process is asked through the files that it names on the board.
//!
//! A process with stacks has a pipe for questions and a file in memory for answers, written by a thread of its
//! language, and a second file that a signal has the stacks of all threads written to, which works while a handler
//! holds the language's lock. Others of the same user open them under `/proc`. Nothing is written before the names of
//! these files are found there: the number of a process may be another program's by now.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::metrics::{Sheet, now};

/// Time for the language to answer, then for the signal.
const PATIENCE: Duration = Duration::from_millis(400);
const LOOK: Duration = Duration::from_millis(5);
/// Time without further bytes after which the stacks of a signal are complete.
const QUIET: Duration = Duration::from_millis(30);
/// Bytes of an answer at most.
const MOST: u64 = 1 << 20;
/// The names of the files in memory.
const ANSWERS: &str = "/memfd:outside-answers";
const STACKS: &str = "/memfd:outside-stacks";

/// The stack of a call of a living process. `thread` is in hexadecimal; empty: the call has no thread of its own.
///
/// # Errors
/// The reason why there is none, in words.
pub(super) fn ask(sheet: &Sheet, pid: u64, call: &str, thread: &str) -> Result<String, String> {
    let is_number = |text: &str| text.len() <= 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_number(call) || call.is_empty() || !is_number(thread) {
        return Err("calls and threads have numbers in hexadecimal".to_owned());
    }
    let process = sheet.processes.iter().find(|process| process.pid == pid);
    let process = process.ok_or_else(|| format!("process {pid} has ended"))?;
    let words: Value = serde_json::from_slice(&process.words).unwrap_or_default();
    let number = |at: usize| words["stacks"][at].as_i64();
    let (Some(questions), Some(answers), Some(stacks), Some(signal)) = (number(0), number(1), number(2), number(3))
    else {
        return Err(format!("process {pid} cannot tell where its handlers are"));
    };
    let path = |descriptor: i64| format!("/proc/{pid}/fd/{descriptor}");
    if let Some(text) = answer_of(&path(questions), &path(answers), call) {
        return Ok(text);
    }
    match stacks_of(pid, &path(stacks), signal) {
        Ok(text) => of_thread(&text, thread).ok_or_else(|| {
            format!("process {pid} holds Python's lock, and this call has no thread of its own; all threads:\n{text}")
        }),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            Err(format!("process {pid} does not answer: it may be stopped"))
        }
        Err(_) => Err(format!("process {pid} has ended")),
    }
}

/// Whether the file is the one of this name.
fn is_named(path: &str, name: &str) -> bool {
    std::fs::read_link(path).is_ok_and(|target| target.to_string_lossy().starts_with(name))
}

/// The answer of the language to a question about a call. `None`: it does not answer now.
fn answer_of(questions: &str, answers: &str, call: &str) -> Option<String> {
    if !is_named(answers, ANSWERS) || !is_named(questions, "pipe:") {
        return None;
    }
    let mut answers = File::open(answers).ok()?;
    // A question has a number of its own, so that its answer is known among those for others.
    let question = format!("{:x}-{:x}", std::process::id(), now());
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut pipe = File::options().write(true).custom_flags(flags).open(questions).ok()?;
    pipe.write_all(format!("{question} {call}\n").as_bytes()).ok()?;
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        std::thread::sleep(LOOK);
        answers.seek(SeekFrom::Start(0)).ok()?;
        let mut text = Vec::new();
        (&answers).take(MOST).read_to_end(&mut text).ok()?;
        // `question NUL text NUL`, written at once.
        let text = String::from_utf8_lossy(&text);
        let mut parts = text.split('\0');
        if parts.next() == Some(&*question)
            && let (Some(found), Some(_)) = (parts.next(), parts.next())
        {
            return (!found.is_empty()).then(|| found.to_owned());
        }
    }
    None
}

/// The stacks of all threads, as a signal has them written.
fn stacks_of(pid: u64, path: &str, signal: i64) -> io::Result<String> {
    if !is_named(path, STACKS) {
        return Err(io::ErrorKind::NotFound.into());
    }
    let mut file = File::open(path)?;
    let before = file.seek(SeekFrom::End(0))?;
    let ended = || io::Error::from(io::ErrorKind::NotFound);
    let process = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).ok_or_else(ended)?;
    let number = i32::try_from(signal).ok().and_then(rustix::process::Signal::from_named_raw).ok_or_else(ended)?;
    rustix::process::kill_process(process, number)?;
    let deadline = Instant::now() + PATIENCE;
    let (mut length, mut since) = (before, Instant::now());
    loop {
        std::thread::sleep(LOOK);
        let found = file.seek(SeekFrom::End(0))?;
        if found != length {
            (length, since) = (found, Instant::now());
        } else if length > before && since.elapsed() >= QUIET {
            break;
        }
        if Instant::now() >= deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
    file.seek(SeekFrom::Start(before))?;
    let mut text = Vec::new();
    file.take(MOST).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The part of one thread, without its first line, in the order of Python's tracebacks: the last call last.
fn of_thread(text: &str, thread: &str) -> Option<String> {
    let wanted = u64::from_str_radix(thread, 16).ok()?;
    let mut lines = text.lines();
    lines.find(|line| thread_of(line) == Some(wanted))?;
    let mut frames: Vec<&str> = lines.take_while(|line| line.starts_with("  ")).collect();
    frames.reverse();
    Some(frames.join("\n"))
}

/// The thread of a line such as `Thread 0x00007f (most recent call first):` or `Current thread 0x00007f [name] (…`.
fn thread_of(line: &str) -> Option<u64> {
    let rest = line.strip_prefix("Current t").or_else(|| line.strip_prefix('T'))?.strip_prefix("hread 0x")?;
    u64::from_str_radix(rest.split(' ').next()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{ProcessWords, Totals};

    #[test]
    fn the_part_of_a_thread() {
        let text = "Thread 0x00007f01 (most recent call first):\n  File \"a.py\", line 3 in inner\n  File \"a.py\", line 9 in outer\n\n\
                    Current thread 0x00007f02 [outside-1] (most recent call first):\n  File \"b.py\", line 1 in b\n";
        let first = of_thread(text, "7f01").unwrap();
        assert_eq!(first, "  File \"a.py\", line 9 in outer\n  File \"a.py\", line 3 in inner");
        assert_eq!(of_thread(text, "7f02").unwrap(), "  File \"b.py\", line 1 in b");
        assert_eq!((of_thread(text, "7f03"), of_thread(text, "")), (None, None));
    }

    #[test]
    fn worker_dies_while_asked_for_a_stack() {
        let words = br#"{"stacks": [100000, 100001, 100002, 23]}"#.to_vec();
        // A number that no process has: no signal is sent to another program.
        let process = ProcessWords { pid: u64::from(u32::MAX), time: 0, generation: 1, words };
        let sheet = Sheet { totals: Totals::default(), processes: vec![process] };
        assert!(ask(&sheet, u64::from(u32::MAX), "1", "2").unwrap_err().contains("has ended"));
        assert!(ask(&sheet, 1, "1", "2").unwrap_err().contains("process 1 has ended"));
        assert!(ask(&sheet, 1, "../x", "").unwrap_err().contains("hexadecimal"));
    }
}
