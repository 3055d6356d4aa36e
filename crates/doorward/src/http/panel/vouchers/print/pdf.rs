//! Cards on paper, as PDF.

use krilla::{
    Document,
    color::luma,
    geom::{PathBuilder, Rect},
    metadata::Metadata,
    page::PageSettings,
    paint::{Fill, Stroke, StrokeDash},
    surface::Surface,
};

use super::{
    card::Card,
    ink::Ink,
    layout::{Laid, MM, Sizes, lay},
    wish::Shape,
};
use crate::{hotspot_settings::Lang, ticket::Code};

/// A sheet of paper and how cards lie on it, in points.
struct Paper {
    width: f32,
    height: f32,
    /// Left and right of all cards.
    side: f32,
    /// Above and below all cards.
    edge: f32,
    columns: usize,
    /// Between cards.
    gap: f32,
    /// Inside a card, left and right, above and below.
    padding: (f32, f32),
    /// Cards are as high as this; `None`: as high as what is in them.
    row: Option<f32>,
    lines: Cut,
    sizes: Sizes,
}

/// How scissors find their way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// Around each card.
    Around,
    /// Below each card.
    Below,
    /// It is cut already.
    None,
}

/// A card in its place on a page.
struct Placed<'a> {
    card: &'a Card,
    laid: Laid,
    rect: (f32, f32, f32, f32),
}

/// Draws cards onto as many pages as they take. `None`: the fonts are missing or broken, or the library refuses. This takes
/// about a millisecond a card.
pub(super) fn draw(shape: Shape, cards: &[Card], title: String, lang: Lang) -> Option<Vec<u8>> {
    let (ink, paper) = (Ink::new()?, Paper::of(shape));
    let mut document = Document::new();
    document
        .set_metadata(Metadata::new().title(title).creator("Doorward".to_owned()).language(lang.as_str().to_owned()));
    for placed in paper.pages(&ink, cards) {
        let mut page = document.start_page_with(PageSettings::from_wh(paper.width, paper.height)?);
        let mut surface = page.surface();
        for one in placed {
            paper.draw(&mut surface, &ink, &one);
        }
        surface.finish();
        page.finish();
    }
    document.finish().ok()
}

impl Paper {
    fn of(shape: Shape) -> Self {
        let sizes = Sizes { title: 12.0, text: 9.0, code: 16.0, square: 32.0 * MM };
        match shape {
            Shape::A4 => Self {
                width: 210.0 * MM,
                height: 297.0 * MM,
                side: 10.0 * MM,
                edge: 10.0 * MM,
                columns: 2,
                gap: 3.0 * MM,
                padding: (3.0 * MM, 3.0 * MM),
                row: None,
                lines: Cut::Around,
                sizes,
            },
            Shape::Roll => Self {
                width: 80.0 * MM,
                height: 297.0 * MM,
                side: 4.0 * MM,
                edge: 4.0 * MM,
                columns: 1,
                gap: 0.0,
                padding: (0.0, 3.0 * MM),
                row: None,
                lines: Cut::Below,
                sizes,
            },
            Shape::Labels => Self {
                width: 210.0 * MM,
                height: 297.0 * MM,
                side: 0.0,
                // Eight labels of 37 mm leave a millimetre.
                edge: 0.5 * MM,
                columns: 3,
                gap: 0.0,
                padding: (4.0 * MM, 2.0 * MM),
                row: Some(37.0 * MM),
                lines: Cut::None,
                sizes: Sizes { title: 8.5, text: 7.5, code: 11.0, square: 26.0 * MM },
            },
        }
    }

    fn pages<'a>(&self, ink: &Ink, cards: &'a [Card]) -> Vec<Vec<Placed<'a>>> {
        let columns = self.columns as f32;
        let width = (self.width - 2.0 * self.side - self.gap * (columns - 1.0)) / columns;
        let (beside, above) = self.padding;
        let bottom = self.height - self.edge;
        let most = self.row.unwrap_or(bottom - self.edge) - 2.0 * above;
        let mut pages = vec![Vec::new()];
        let mut y = self.edge;
        for row in cards.chunks(self.columns) {
            let laid: Vec<_> =
                row.iter().map(|card| lay(ink, card, &self.sizes, (width - 2.0 * beside, most))).collect();
            let content = laid.iter().map(|laid| laid.height).fold(0.0, f32::max);
            let height = self.row.unwrap_or(content + 2.0 * above);
            // Half a point for what is lost in adding up.
            if y + height > bottom + 0.5 {
                pages.push(Vec::new());
                y = self.edge;
            }
            let mut x = self.side;
            for (card, laid) in row.iter().zip(laid) {
                if let Some(page) = pages.last_mut() {
                    page.push(Placed { card, laid, rect: (x, y, width, height) });
                }
                x += width + self.gap;
            }
            y += height + self.gap;
        }
        pages
    }

    fn draw(&self, surface: &mut Surface, ink: &Ink, placed: &Placed) {
        let (x, y, width, height) = placed.rect;
        let (beside, above) = self.padding;
        self.draw_cut(surface, placed.rect);
        surface.set_fill(Some(Fill::default()));
        surface.set_stroke(None);
        for line in &placed.laid.lines {
            ink.write(surface, line.hand, line.size, (x + beside, y + above + line.y), &line.text);
        }
        if let Some(code) = &placed.card.code {
            let side = self.sizes.square.min(height);
            draw_code(surface, code, (x + width - beside - side, y + above), side);
        }
    }

    fn draw_cut(&self, surface: &mut Surface, (x, y, width, height): (f32, f32, f32, f32)) {
        let mut path = PathBuilder::new();
        match self.lines {
            Cut::None => return,
            Cut::Around => {
                let Some(rect) = Rect::from_xywh(x, y, width, height) else { return };
                path.push_rect(rect);
            }
            Cut::Below => {
                path.move_to(x, y + height);
                path.line_to(x + width, y + height);
            }
        }
        let dash = Some(StrokeDash { array: vec![3.0, 3.0], offset: 0.0 });
        let paint = luma::Color::new(0x88).into();
        surface.set_fill(None);
        surface.set_stroke(Some(Stroke { paint, width: 0.5, dash, ..Stroke::default() }));
        if let Some(path) = path.finish() {
            surface.draw_path(&path);
        }
    }
}

/// Squares, so that it stays sharp on every printer. The quiet zone is the paper's.
fn draw_code(surface: &mut Surface, code: &Code, (x, y): (f32, f32), side: f32) {
    let module = side / code.side as f32;
    let mut path = PathBuilder::new();
    for (column, row, count) in &code.runs {
        let (left, top) = (x + *column as f32 * module, y + *row as f32 * module);
        if let Some(rect) = Rect::from_xywh(left, top, *count as f32 * module, module) {
            path.push_rect(rect);
        }
    }
    if let Some(path) = path.finish() {
        surface.draw_path(&path);
    }
}
