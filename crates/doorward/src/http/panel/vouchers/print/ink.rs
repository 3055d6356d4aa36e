//! The two faces that PDF sheets are written with: how wide texts are, and drawing them.

use std::borrow::Cow;

use krilla::{
    Data,
    geom::Point,
    surface::Surface,
    text::{Font, GlyphId, KrillaGlyph},
};
use skrifa::{
    FontRef, MetadataProvider as _,
    charmap::Charmap,
    instance::{LocationRef, Size},
    metrics::GlyphMetrics,
};

use crate::http::panel::assets;

/// What a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hand {
    /// Read by people.
    Text,
    /// Typed by people: no two characters look the same.
    Code,
}

/// Both faces, for one sheet.
pub(super) struct Ink {
    text: Face,
    code: Face,
}

struct Face {
    font: Font,
    glyphs: Charmap<'static>,
    widths: GlyphMetrics<'static>,
    /// Units of an em.
    units: f32,
}

/// A character as it is drawn.
struct Mark {
    /// It is drawn with the face that the other hand has.
    is_other: bool,
    glyph: GlyphId,
    /// In ems.
    width: f32,
    /// Where it stands in its text, in bytes.
    from: usize,
    to: usize,
}

impl Ink {
    /// `None`: a face is not part of this build, or broken.
    pub(super) fn new() -> Option<Self> {
        Some(Self { text: Face::read("text.ttf")?, code: Face::read("code.ttf")? })
    }

    /// Width of a text, in the unit of its size.
    pub(super) fn width(&self, hand: Hand, size: f32, text: &str) -> f32 {
        self.marks(hand, text).iter().map(|mark| mark.width).sum::<f32>() * size
    }

    /// Writes a line whose letters stand on `y`.
    pub(super) fn write(&self, surface: &mut Surface, hand: Hand, size: f32, (x, y): (f32, f32), text: &str) {
        let mut x = x;
        for run in self.marks(hand, text).chunk_by(|one, two| one.is_other == two.is_other) {
            let Some(first) = run.first() else { continue };
            let face = if first.is_other { self.face(hand.other()) } else { self.face(hand) };
            let glyphs: Vec<KrillaGlyph> = run.iter().map(Mark::as_glyph).collect();
            surface.draw_glyphs(Point::from_xy(x, y), &glyphs, face.font.clone(), text, size, false);
            x += run.iter().map(|mark| mark.width).sum::<f32>() * size;
        }
    }

    fn face(&self, hand: Hand) -> &Face {
        match hand {
            Hand::Text => &self.text,
            Hand::Code => &self.code,
        }
    }

    /// A character that its own face lacks is taken from the other one; what both lack is an empty box, and stays text.
    fn marks(&self, hand: Hand, text: &str) -> Vec<Mark> {
        let (own, other) = (self.face(hand), self.face(hand.other()));
        let mark = |(from, character): (usize, char)| {
            let found = own.find(character).map(|found| (false, found));
            let found = found.or_else(|| other.find(character).map(|found| (true, found)));
            // Not the box that faces have for it: that has no place in the table that makes text of glyphs again.
            let found = found.or_else(|| own.find('□').map(|found| (false, found)));
            let (is_other, (glyph, width)) = found.unwrap_or((false, (GlyphId::new(0), 0.0)));
            Mark { is_other, glyph, width, from, to: from + character.len_utf8() }
        };
        text.char_indices().map(mark).collect()
    }
}

impl Hand {
    fn other(self) -> Self {
        match self {
            Self::Text => Self::Code,
            Self::Code => Self::Text,
        }
    }
}

impl Face {
    fn read(file: &str) -> Option<Self> {
        // Part of the program in every build (`debug-embed`), so it lives as long.
        let Cow::Borrowed(bytes) = assets::font(file) else { return None };
        let (font, face) = (Font::new(Data::from(bytes), 0)?, FontRef::new(bytes).ok()?);
        let widths = face.glyph_metrics(Size::unscaled(), LocationRef::default());
        Some(Self { units: font.units_per_em(), font, glyphs: face.charmap(), widths })
    }

    fn find(&self, character: char) -> Option<(GlyphId, f32)> {
        let glyph = self.glyphs.map(character)?;
        Some((GlyphId::new(glyph.to_u32()), self.width(glyph)))
    }

    /// In ems.
    fn width(&self, glyph: skrifa::GlyphId) -> f32 {
        self.widths.advance_width(glyph).unwrap_or_default() / self.units
    }
}

impl Mark {
    fn as_glyph(&self) -> KrillaGlyph {
        KrillaGlyph::new(self.glyph, self.width, 0.0, 0.0, 0.0, self.from..self.to, None)
    }
}
