//! The chart: how many times better each row is than Apache's, as bars in an SVG.

use crate::report::{number, Board, APACHE, OURS};
use std::fmt::Write;

const WIDTH: f64 = 900.0;
/// Where bars begin; the names of the rows stand left of it.
const LEFT: f64 = 340.0;
/// Room right of the longest bar for its figures.
const RIGHT: f64 = 230.0;
const STEP: f64 = 24.0;
const TOP: f64 = 64.0;

/// Bars on a scale of powers of ten, since ratios reach from 1 to some 100. Rows without a figure of Apache's are left out.
pub fn svg(board: &Board) -> String {
    let rows: Vec<_> = board.rows.iter().filter_map(|row| Some((row, row.times(APACHE)?))).collect();
    let most = rows.iter().map(|(_, times)| *times).fold(10.0, f64::max);
    let decades = most.log10().ceil();
    let length = |times: f64| times.max(1.0).log10() / decades * (WIDTH - LEFT - RIGHT);
    let height = TOP + STEP * rows.len() as f64 + 20.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"12\" y=\"24\" font-size=\"16\" fill=\"#1b1f24\">How many times better than Apache's broker</text>\n"
    );
    for decade in 0..=decades as u32 {
        let (times, x) = (10f64.powi(decade as i32), LEFT + length(10f64.powi(decade as i32)));
        let _written = writeln!(
            out,
            "<line x1=\"{x:.1}\" y1=\"{:.0}\" x2=\"{x:.1}\" y2=\"{:.0}\" stroke=\"#d0d7de\"/>\
             <text x=\"{x:.1}\" y=\"{:.0}\" text-anchor=\"middle\" fill=\"#57606a\">{times}x</text>",
            TOP - 8.0,
            height - 12.0,
            TOP - 14.0
        );
    }
    for (index, (row, times)) in rows.iter().enumerate() {
        let y = TOP + STEP * index as f64;
        let long = length(*times).max(1.0);
        let colour = if *times >= 1.0 { "#b7410e" } else { "#57606a" };
        let value = |side| row.value(side).map_or_else(String::new, number);
        let _written = writeln!(
            out,
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\" fill=\"#1b1f24\">{}</text>\
             <rect x=\"{LEFT}\" y=\"{:.0}\" width=\"{long:.1}\" height=\"{:.0}\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{:.0}\" fill=\"#1b1f24\">{times:.1}x \
             <tspan fill=\"#57606a\">{} : {} {}</tspan></text>",
            LEFT - 8.0,
            y + 14.0,
            escaped(&row.case),
            y + 3.0,
            STEP - 8.0,
            LEFT + long + 6.0,
            y + 14.0,
            value(OURS),
            value(APACHE),
            escaped(&row.unit)
        );
    }
    out + "</svg>\n"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::figure;
    use crate::report::Better;

    #[test]
    fn a_bar_a_row_with_two_sides() {
        let mut board = Board::default();
        for (case, ours, theirs) in [("a < b", 700.0, 100.0), ("worse", 1.0, 4.0), ("far", 1.0e6, 1000.0)] {
            board.add(OURS, &figure(case, Better::Higher, ours));
            board.add(APACHE, &figure(case, Better::Higher, theirs));
        }
        board.add(OURS, &figure("alone", Better::Higher, 3.0));
        let text = svg(&board);
        assert!(text.starts_with("<svg ") && text.ends_with("</svg>\n"));
        assert_eq!(text.matches("<rect x=").count(), 3, "{text}");
        assert!(text.contains("a &lt; b") && text.contains("7.0x ") && !text.contains("alone"), "{text}");
        assert!(text.contains(">1000x</text>") && text.contains("1,000,000 : 1,000 u"), "{text}");
        let opened = text.matches("<text").count() + text.matches("<tspan").count();
        assert_eq!(opened, text.matches("</text>").count() + text.matches("</tspan>").count());
    }

    #[test]
    fn bars_grow_with_the_ratio_and_stay_inside() {
        let mut board = Board::default();
        for (n, times) in [0.5, 1.0, 3.0, 30.0, 99.0].into_iter().enumerate() {
            board.add(OURS, &figure(&n.to_string(), Better::Higher, times));
            board.add(APACHE, &figure(&n.to_string(), Better::Higher, 1.0));
        }
        let text = svg(&board);
        let widths: Vec<f64> = text
            .split("<rect x=")
            .skip(1)
            .filter_map(|bar| bar.split("width=\"").nth(1)?.split('"').next()?.parse().ok())
            .collect();
        assert_eq!(widths.len(), 5);
        assert!(widths.windows(2).all(|pair| pair[0] <= pair[1]), "{widths:?}");
        assert!(widths[4] <= WIDTH - LEFT - RIGHT && widths[2] > widths[1]);
    }
}
