//! Lines of a manifest, as md5sum(1) writes and reads them.

use super::digest::Md5;

/// The line of one file, with its end. A name with a backslash, a line feed or a carriage return is
/// escaped, and the line says so with a backslash in front.
pub fn line(md5: &Md5, name: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(name.len());
    for byte in name {
        match byte {
            b'\\' => escaped.extend(b"\\\\"),
            b'\n' => escaped.extend(b"\\n"),
            b'\r' => escaped.extend(b"\\r"),
            other => escaped.push(*other),
        }
    }
    let mark = if escaped == name { "" } else { "\\" };
    let mut line = format!("{mark}{md5}  ").into_bytes();
    line.extend(escaped);
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_md5sum() {
        let md5 = Md5::of(b"x");
        let text = |name: &[u8]| String::from_utf8_lossy(&line(&md5, name)).into_owned();
        assert_eq!(text(b"a/b c"), "9dd4e461268c8034f5c8564e155c67a6  a/b c\n");
        assert_eq!(text(b"a\\b\nc\rd"), "\\9dd4e461268c8034f5c8564e155c67a6  a\\\\b\\nc\\rd\n");
        assert_eq!(line(&md5, b"\xff").last_chunk::<2>(), Some(b"\xff\n"), "bytes are kept");
    }
}
