//! A chart of time against the peers, as SVG.

use std::path::Path;

use plotters::prelude::*;

use crate::support::Result;

/// A row of the chart.
pub(crate) struct Bar {
    pub(crate) label: String,
    /// The time of regshape as a part of the peer's.
    pub(crate) ratio: f64,
}

const WIDTH: u32 = 760;
const LABEL_WIDTH: i32 = 330;
const ROW_HEIGHT: i32 = 24;
const TOP: i32 = 44;

/// Draws the bars; a line marks the time of the peer.
pub(crate) fn draw(bars: &[Bar], path: &Path) -> Result<()> {
    /// Longer bars are cut: their ratio is written beside them.
    const LONGEST: f64 = 1.5;
    let height = TOP + ROW_HEIGHT * i32::try_from(bars.len())? + 16;
    let area = SVGBackend::new(path, (WIDTH, u32::try_from(height)?)).into_drawing_area();
    area.fill(&WHITE)?;
    let font = ("sans-serif", 14).into_font().color(&BLACK);
    area.draw(&Text::new("Time of regshape as a part of the peer's (less is faster)", (8, 10), font.clone()))?;
    let scale = f64::from(i32::try_from(WIDTH)? - LABEL_WIDTH - 70) / LONGEST;
    let x = |ratio: f64| LABEL_WIDTH + (ratio.min(LONGEST) * scale).round() as i32;
    for (at, bar) in bars.iter().enumerate() {
        let y = TOP + ROW_HEIGHT * i32::try_from(at)?;
        let fill = if bar.ratio <= 1.0 { RGBColor(46, 125, 50) } else { RGBColor(198, 40, 40) };
        area.draw(&Text::new(bar.label.clone(), (8, y + 3), font.clone()))?;
        area.draw(&Rectangle::new([(LABEL_WIDTH, y + 2), (x(bar.ratio), y + ROW_HEIGHT - 4)], fill.filled()))?;
        area.draw(&Text::new(format!("{:.2}", bar.ratio), (x(bar.ratio) + 6, y + 3), font.clone()))?;
    }
    area.draw(&PathElement::new([(x(1.0), TOP - 6), (x(1.0), height - 10)], BLACK.stroke_width(1)))?;
    area.present()?;
    Ok(())
}
