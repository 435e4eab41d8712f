//! The media types that are worth compressing: text of all kinds, and formats without compression of their own.

/// Whether content of this type becomes smaller by compression. Parameters (`; charset=utf-8`) and case do not matter.
///
/// Unknown types count as compressed already. Event streams are text, but must not wait in an encoder.
pub(crate) fn is_compressible(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or(media_type).trim_ascii();
    let Some((kind, subtype)) = essence.split_once('/') else { return false };
    let is = |names: &[&str]| names.iter().any(|name| subtype.eq_ignore_ascii_case(name));
    let ends = |suffix: &str| {
        let start = subtype.len().checked_sub(suffix.len());
        start.and_then(|start| subtype.get(start..)).is_some_and(|end| end.eq_ignore_ascii_case(suffix))
    };
    // A structured suffix (RFC 6839) decides alone: SVG, Atom, problem details, source maps.
    if ends("+json") || ends("+xml") || ends("+yaml") {
        return true;
    }
    let kinds = [("text", TEXT), ("application", APPLICATION), ("font", FONT), ("image", IMAGE), ("model", MODEL)];
    match kinds.iter().find(|(name, _)| kind.eq_ignore_ascii_case(name)) {
        Some(("text", exceptions)) => !is(exceptions),
        Some((_, names)) => is(names),
        None => false,
    }
}

/// Text that is not compressed: an event must leave at once.
const TEXT: &[&str] = &["event-stream"];

const APPLICATION: &[&str] = &[
    "json",
    "javascript",
    "xml",
    "wasm",
    // Data in lines or without a suffix.
    "cbor",
    "json5",
    "json-seq",
    "jsonl",
    "msgpack",
    "n-quads",
    "n-triples",
    "ndjson",
    "protobuf",
    "sql",
    "toml",
    "trig",
    "vnd.apple.mpegurl",
    "x-ndjson",
    "x-protobuf",
    "x-sql",
    "x-yaml",
    "xml-dtd",
    "yaml",
    // Programs.
    "ecmascript",
    "graphql",
    "typescript",
    "x-httpd-php",
    "x-javascript",
    "x-perl",
    "x-sh",
    // Documents.
    "postscript",
    "rtf",
    "x-latex",
    "x-subrip",
    "x-tex",
    // Fonts under their old names.
    "font-sfnt",
    "vnd.ms-fontobject",
    "x-font-opentype",
    "x-font-otf",
    "x-font-truetype",
    "x-font-ttf",
];

/// WOFF and WOFF2 are compressed already.
const FONT: &[&str] = &["collection", "otf", "sfnt", "ttf"];

const IMAGE: &[&str] = &[
    "bmp",
    "vnd.microsoft.icon",
    "x-icon",
    "x-ms-bmp",
    "x-portable-anymap",
    "x-portable-bitmap",
    "x-portable-graymap",
    "x-portable-pixmap",
    "x-tga",
    "x-xbitmap",
];

const MODEL: &[&str] = &["gltf-binary", "mtl", "obj", "stl", "vrml"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_that_are_worth_it() {
        for media_type in [
            "text/html",
            "text/html; charset=utf-8",
            "TEXT/HTML;charset=utf-8",
            " text/plain ",
            "text/css",
            "text/x-rust",
            "text/csv",
            "application/json",
            "application/JSON ; charset=utf-8",
            "application/problem+json",
            "application/geo+JSON",
            "application/rss+xml",
            "application/xhtml+xml",
            "image/svg+xml",
            "model/gltf+json",
            "application/javascript",
            "application/wasm",
            "font/ttf",
            "application/vnd.ms-fontobject",
            "image/bmp",
            "image/x-icon",
        ] {
            assert!(is_compressible(media_type), "{media_type}");
        }
    }

    #[test]
    fn types_that_are_compressed_or_unknown_or_must_not_wait() {
        for media_type in [
            "text/event-stream",
            "Text/Event-Stream; charset=utf-8",
            "image/png",
            "image/jpeg",
            "image/avif",
            "image/webp",
            "font/woff2",
            "application/font-woff",
            "video/mp4",
            "audio/mpeg",
            "application/zip",
            "application/gzip",
            "application/pdf",
            "application/octet-stream",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            "application/geo+zip",
            "multipart/byteranges; boundary=text/html",
            "application/json-patch",
            "html",
            "",
            "/",
            "x/\u{fc}xml",
        ] {
            assert!(!is_compressible(media_type), "{media_type}");
        }
    }

    #[test]
    fn files_of_a_site() {
        let worth = |extension: &str| {
            let guess = mime_guess::from_ext(extension).first_or_octet_stream();
            is_compressible(guess.as_ref())
        };
        let yes = "html css js mjs json map svg xml wasm txt md csv ttf otf eot ico bmp webmanifest rss atom ics vtt yaml \
                   toml sql sh xhtml geojson gltf php rtf ps py rs c jsonld kml gpx tex log ini";
        let no =
            "png jpg jpeg gif webp avif woff woff2 mp4 webm mp3 ogg flac zip gz br zst 7z xz pdf docx xlsx jar epub";
        assert_eq!(yes.split_whitespace().filter(|extension| !worth(extension)).collect::<Vec<_>>(), [""; 0]);
        assert_eq!(no.split_whitespace().filter(|extension| worth(extension)).collect::<Vec<_>>(), [""; 0]);
    }
}
