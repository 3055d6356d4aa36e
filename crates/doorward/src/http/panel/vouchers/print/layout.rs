//! Where the lines of a card stand: broken to its width, around its code, and made smaller where its label is small.

use unicode_bidi::BidiInfo;

use super::{
    card::Card,
    ink::{Hand, Ink},
};

/// Points of a millimetre.
pub(super) const MM: f32 = 72.0 / 25.4;
/// From one line to the next, in sizes of its letters.
const LEADING: f32 = 1.25;
/// How far letters rise above the line that they stand on, in sizes.
const RISE: f32 = 0.8;
/// Room between text and code.
const GAP: f32 = 2.0 * MM;
/// How much smaller letters may get before lines are left out.
const SMALLER: [f32; 6] = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5];

/// What a card is written with, in points.
pub(super) struct Sizes {
    pub(super) title: f32,
    pub(super) text: f32,
    pub(super) code: f32,
    /// Side of the QR code.
    pub(super) square: f32,
}

/// A line with the place that it begins at; `top` left of the card is 0.
pub(super) struct Line {
    pub(super) hand: Hand,
    pub(super) size: f32,
    pub(super) y: f32,
    pub(super) text: String,
}

/// A card with its lines in their places, in points.
pub(super) struct Laid {
    pub(super) lines: Vec<Line>,
    pub(super) height: f32,
}

/// Lays a card out for a width, and a height at most. What the guest types comes first and stays; of the rest, what has no
/// room even in small letters is left out.
pub(super) fn lay(ink: &Ink, card: &Card, sizes: &Sizes, (width, height): (f32, f32)) -> Laid {
    let mut laid = Laid { lines: Vec::new(), height: 0.0 };
    for scale in SMALLER {
        laid = lay_scaled(ink, card, sizes, width, scale);
        if laid.height <= height {
            return laid;
        }
    }
    laid.lines.retain(|line| line.y + line.size * (LEADING - RISE) <= height);
    laid.height = height;
    laid
}

fn lay_scaled(ink: &Ink, card: &Card, sizes: &Sizes, width: f32, scale: f32) -> Laid {
    let square = if card.code.is_some() { sizes.square } else { 0.0 };
    let mut page = Page { ink, width, square, top: 0.0, lines: Vec::new() };
    page.put(Hand::Text, sizes.title * scale, &card.title);
    page.put(Hand::Text, sizes.text * scale, &card.fullname);
    page.top += sizes.text * scale * 0.4;
    page.put(Hand::Code, sizes.code * scale, &card.username);
    if let Some(passcode) = &card.passcode {
        page.put(Hand::Code, sizes.code * scale, passcode);
    }
    page.top += sizes.text * scale * 0.4;
    for fact in &card.facts {
        page.put(Hand::Text, sizes.text * scale, fact);
    }
    Laid { height: page.top.max(square), lines: page.lines }
}

struct Page<'a> {
    ink: &'a Ink,
    width: f32,
    /// Side of the code in the upper right corner.
    square: f32,
    /// Where the next line begins.
    top: f32,
    lines: Vec<Line>,
}

impl Page<'_> {
    /// Puts a text below the last one, in as many lines as it takes.
    fn put(&mut self, hand: Hand, size: f32, text: &str) {
        let text = plain(text);
        let mut rest = text.trim();
        while !rest.is_empty() {
            let beside = self.square > 0.0 && self.top < self.square;
            let room = if beside { self.width - self.square - GAP } else { self.width };
            let end = fitting(self.ink, hand, size, rest, room);
            let (line, more) = rest.split_at(end);
            self.lines.push(Line { hand, size, y: self.top + size * RISE, text: seen(line.trim_end()) });
            self.top += size * LEADING;
            rest = more.trim_start();
        }
    }
}

/// Bytes of a text that fit into a line: whole words, or as much of a word as there is room for; one character at least.
fn fitting(ink: &Ink, hand: Hand, size: f32, text: &str, room: f32) -> usize {
    let (mut fits, mut word, mut width) = (0, 0, 0.0);
    for (at, character) in text.char_indices() {
        let end = at + character.len_utf8();
        width += ink.width(hand, size, &text[at..end]);
        if character == ' ' {
            word = end;
        } else if width > room && at > 0 {
            return if word > 0 { word } else { fits };
        }
        fits = end;
    }
    fits
}

/// A text in one line, without what has no shape: marks that turn the order of letters would move others.
fn plain(text: &str) -> String {
    let shown = |c: &char| {
        !matches!(c, '\u{ad}' | '\u{61c}' | '\u{180b}'..='\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
    };
    text.chars().map(|c| if c.is_control() || c.is_whitespace() { ' ' } else { c }).filter(shown).collect()
}

/// A line in the order that its letters are seen in, from left to right: faces know nothing of Hebrew or Arabic.
fn seen(line: &str) -> String {
    let bidi = BidiInfo::new(line, None);
    let whole = bidi.paragraphs.first();
    whole.map_or_else(String::new, |whole| bidi.reorder_line(whole, whole.range.clone()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(username: &str, facts: &[&str]) -> Card {
        Card {
            title: "Hotel Żółw".to_owned(),
            fullname: "Ann".to_owned(),
            username: username.to_owned(),
            passcode: None,
            facts: facts.iter().map(|fact| (*fact).to_owned()).collect(),
            code: crate::ticket::Code::of("http://a/v/x"),
        }
    }

    #[test]
    fn lines_keep_their_words_and_their_room() {
        let ink = Ink::new().unwrap();
        let sizes = Sizes { title: 12.0, text: 9.0, code: 16.0, square: 90.0 };
        let long = "w".repeat(64);
        let card =
            card(&long, &["Valid for: 1 day from the first login", "a\u{202e}b\nc", "日本語 😀", "Room 7: שלום"]);
        let laid = lay(&ink, &card, &sizes, (240.0, 800.0));
        let text: Vec<&str> = laid.lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(text[..2], ["Hotel Żółw", "Ann"]);
        assert!(
            text.ends_with(&["Valid for: 1 day from the first login", "ab c", "日本語 😀", "Room 7: םולש"]),
            "{text:?}"
        );
        let code: String = laid.lines.iter().filter(|l| l.hand == Hand::Code).map(|line| line.text.as_str()).collect();
        assert_eq!(code, long);
        for line in &laid.lines {
            let room = if line.y - line.size < 90.0 { 240.0 - 90.0 } else { 240.0 };
            assert!(ink.width(line.hand, line.size, &line.text) <= room, "{:?}", line.text);
        }
    }

    #[test]
    fn a_label_keeps_its_code_whatever_else_there_is() {
        let ink = Ink::new().unwrap();
        let sizes = Sizes { title: 8.0, text: 7.0, code: 10.0, square: 70.0 };
        let notes = ["n ".repeat(100), "x".repeat(2000), "y".repeat(200)];
        let card = card(&"K".repeat(64), &notes.each_ref().map(String::as_str));
        let laid = lay(&ink, &card, &sizes, (170.0, 90.0));
        assert!(laid.height <= 90.0 && laid.lines.iter().all(|line| line.y <= 90.0));
        let code: String = laid.lines.iter().filter(|l| l.hand == Hand::Code).map(|line| line.text.as_str()).collect();
        assert_eq!(code.len(), 64);
        assert!(!laid.lines.iter().any(|line| line.text.contains("yyy")), "no room");
    }
}
