//! Texts of others, made fit to be shown: on a terminal, in a log, in a line of the status.
//!
//! Names, messages and settings come from other clients, from the service, and from whatever stands between. A terminal
//! obeys control characters, and some others turn a line around so that it says something else.

use std::borrow::Cow;

/// Does nothing but harm in a line: a control character, or one that changes the direction of what follows.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

/// `text` in one line, without what a terminal would obey: blanks stay for line breaks and tabs, and nothing for the rest.
pub fn shown(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_harmful) {
        return Cow::Borrowed(text);
    }
    let kept = |c: char| match c {
        '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' => Some(' '),
        c => (!is_harmful(c)).then_some(c),
    };
    Cow::Owned(text.chars().filter_map(kept).collect())
}

/// The same for names, where it must show that something stood there.
pub fn shown_name(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_harmful) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| if is_harmful(c) { '\u{fffd}' } else { c }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_that_a_terminal_obeys() {
        assert_eq!(shown("plain text, Ünïcode too"), "plain text, Ünïcode too");
        assert_eq!(shown("a\u{1b}]0;title\u{7}b\r\nc\u{9b}31m\u{202e}d"), "a]0;titleb  c31md");
        assert_eq!(shown_name("a\u{1b}b\nc"), "a\u{fffd}b\u{fffd}c");
    }
}
