//! The frames of a backtrace that belong to the program, each with the lines of its source.

use super::escape::escape;

/// Lines of source before and after the one that counts.
const AROUND: usize = 4;
/// Frames that are shown, at most.
const MOST: usize = 30;
/// Characters of a line that are shown, at most.
const LONGEST: usize = 400;

/// One frame: the function, the file, and the line.
struct ProgramFrame<'b> {
    function: &'b str,
    file: &'b str,
    line: usize,
}

/// The frames of the program as HTML, the innermost first.
pub(super) fn html(backtrace: &str) -> String {
    let frames = of_program(backtrace);
    if frames.is_empty() {
        return String::new();
    }
    let mut html = "<h2>Frames</h2>".to_owned();
    for (at, frame) in frames.iter().take(MOST).enumerate() {
        let open = if at == 0 { " open" } else { "" };
        html.push_str(&format!(
            "<details{open}><summary><code>{}:{}</code> <span>in <b>{}</b></span></summary>{}</details>",
            escape(frame.file),
            frame.line,
            escape(frame.function),
            source(frame)
        ));
    }
    html
}

/// The frames whose sources are neither the standard library's, nor a dependency's, nor this crate's.
fn of_program(backtrace: &str) -> Vec<ProgramFrame<'_>> {
    let mut frames = Vec::new();
    let mut function = "";
    for line in backtrace.lines().map(str::trim) {
        if let Some(place) = line.strip_prefix("at ") {
            let mut parts = place.rsplitn(3, ':');
            let (_column, number, file) = (parts.next(), parts.next(), parts.next());
            if let (Some(number), Some(file)) = (number.and_then(|number| number.parse().ok()), file)
                && !is_of_others(file, function)
            {
                frames.push(ProgramFrame { function, file, line: number });
            }
        } else if let Some((number, name)) = line.split_once(": ")
            && number.bytes().all(|byte| byte.is_ascii_digit())
        {
            function = name;
        }
    }
    frames
}

/// The sources of this crate.
const OWN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/");

fn is_of_others(file: &str, function: &str) -> bool {
    // A backtrace shows paths below the current folder from there on.
    let is_own = match file.strip_prefix("./") {
        Some(rest) => std::env::current_dir().is_ok_and(|folder| folder.join(rest).starts_with(OWN)),
        None => file.starts_with(OWN),
    };
    let is_library =
        ["/rustc/", "/.cargo/registry/", "/cargo/registry/", "/library/std/", "/library/core/", "/library/alloc/"]
            .iter()
            .any(|part| file.contains(part));
    is_library || is_own || function.starts_with("outside::") || function.starts_with("<outside::")
}

fn source(frame: &ProgramFrame<'_>) -> String {
    // Sources are where they were compiled, or not there at all.
    let Ok(text) = std::fs::read_to_string(frame.file) else { return String::new() };
    let first = frame.line.saturating_sub(AROUND).max(1);
    let mut rows = String::new();
    for (at, line) in text.lines().enumerate().skip(first - 1).take(frame.line + AROUND + 1 - first) {
        let here = if at + 1 == frame.line { " class=here" } else { "" };
        let shown: String = line.trim_end().chars().take(LONGEST).collect();
        rows.push_str(&format!(
            "<li value={}{here}>{}</li>",
            at + 1,
            escape(if shown.is_empty() { " " } else { &shown })
        ));
    }
    format!("<ol>{rows}</ol>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frames_of_the_program_are_found() {
        let backtrace = "   0: std::backtrace::Backtrace::force_capture
             at /rustc/abc/library/std/src/backtrace.rs:331:12
   1: <outside::error::Error as core::convert::From<E>>::from
             at ./src/error.rs:200:9
   2: notes::show::{{closure}}
             at ./examples/notes.rs:12:5
   3: core::ops::function::Fn::call
             at /rustc/abc/library/core/src/ops/function.rs:79:5
   4: notes::main
   5: main";
        let frames = of_program(backtrace);
        assert_eq!(frames.len(), 1);
        assert_eq!(
            (frames[0].function, frames[0].file, frames[0].line),
            ("notes::show::{{closure}}", "./examples/notes.rs", 12)
        );
    }
}
