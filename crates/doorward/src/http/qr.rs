//! QR codes of client configurations (VPN API, section 3.4).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use fast_qr::{ECL, QRBuilder, QRCode};

use crate::app::Error;

/// Width and height of the image in pixels.
const SIDE: u32 = 500;
/// Light modules around the code, so that it is found (ISO 18004 asks for 4).
const QUIET: usize = 4;

/// A text as the base64 of a PNG of 500 × 500 pixels.
///
/// # Errors
/// It is too long.
pub(super) async fn base64(text: String) -> Result<String, Error> {
    let image = tokio::task::spawn_blocking(move || draw(&text)).await;
    image.ok().flatten().map(|image| STANDARD.encode(image)).ok_or(Error::Failed("the code could not be drawn"))
}

/// A PNG of a QR code; the best redundancy that leaves modules of at least 3 pixels, or the least one.
fn draw(text: &str) -> Option<Vec<u8>> {
    let code = [ECL::M, ECL::L].into_iter().find_map(|level| {
        let code = QRBuilder::new(text).ecl(level).build().ok()?;
        (matches!(level, ECL::L) || scale(&code) >= 3).then_some(code)
    })?;
    let scale = scale(&code);
    let side = usize::try_from(SIDE).ok()?;
    let margin = (side - code.size * scale) / 2;
    let is_dark = |x: usize, y: usize| {
        let module = |at: usize| at.checked_sub(margin).map(|at| at / scale).filter(|at| *at < code.size);
        module(x).zip(module(y)).is_some_and(|(column, row)| code[row][column].value())
    };
    // One bit a pixel; 1 is white.
    let mut pixels = vec![0_u8; side.div_ceil(8) * side];
    for (y, line) in pixels.chunks_mut(side.div_ceil(8)).enumerate() {
        for x in (0..side).filter(|x| !is_dark(*x, y)) {
            line[x / 8] |= 0x80 >> (x % 8);
        }
    }
    let mut image = Vec::new();
    let mut encoder = png::Encoder::new(&mut image, SIDE, SIDE);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    let mut writer = encoder.write_header().ok()?;
    writer.write_image_data(&pixels).ok()?;
    writer.finish().ok()?;
    Some(image)
}

/// Pixels of a module's side.
fn scale(code: &QRCode) -> usize {
    usize::try_from(SIDE).unwrap_or(0) / (code.size + 2 * QUIET)
}
