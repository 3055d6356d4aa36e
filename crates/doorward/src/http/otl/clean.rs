//! What of an operator's HTML is shown.

use std::{borrow::Cow, collections::HashSet, sync::LazyLock};

use ammonia::Builder;

/// Images that stand in the text itself. SVG is not among them: it is a document of its own.
const IMAGES: [&str; 4] =
    ["data:image/png;base64,", "data:image/jpeg;base64,", "data:image/gif;base64,", "data:image/webp;base64,"];

/// Structure, text, tables, links to web, mail and telephone, images within the text, and classes for the style sheet.
/// No script, style, form, frame, or anything that is loaded from elsewhere.
static RULES: LazyLock<Builder<'static>> = LazyLock::new(|| {
    let mut rules = Builder::default();
    rules
        .add_generic_attributes(["class"])
        .url_schemes(HashSet::from(["http", "https", "mailto", "tel", "data"]))
        .url_relative(ammonia::UrlRelative::Deny)
        .link_rel(Some("noopener noreferrer nofollow"))
        .attribute_filter(|element, attribute, value| {
            let is_data = value.trim_start().get(..5).is_some_and(|start| start.eq_ignore_ascii_case("data:"));
            let is_image = element == "img" && attribute == "src";
            let allowed = if is_image { IMAGES.iter().any(|image| value.starts_with(image)) } else { !is_data };
            allowed.then_some(Cow::Borrowed(value))
        });
    rules
});

/// HTML that does no harm, whatever it was made of.
pub(super) fn clean(html: &str) -> String {
    RULES.clean(html).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_operators_write_stays() {
        for html in [
            "<h1 class=\"big\">Zamek</h1><p>a &amp; b<br>c</p>",
            "<table><tbody><tr><td>1</td></tr></tbody></table>",
            "<img src=\"data:image/png;base64,AAAA\" alt=\"logo\">",
        ] {
            assert_eq!(clean(html), html);
        }
        let link = clean("<a href=\"https://example.net\">x</a><a href=\"mailto:a@b.example\">y</a>");
        assert!(
            link.contains("href=\"https://example.net\"") && link.contains("href=\"mailto:a@b.example\""),
            "{link}"
        );
        assert!(link.contains("noreferrer"));
    }

    #[test]
    fn what_does_harm_does_not() {
        for html in [
            "<script>steal()</script>",
            "<style>*{display:none}</style>",
            "<p onclick=\"steal()\" style=\"position:fixed\">x</p>",
            "<img src=\"https://evil.example/x.png\" onerror=\"steal()\">",
            "<img src=\"data:image/svg+xml;base64,AAAA\">",
            "<a href=\"javascript:steal()\">x</a>",
            "<a href=\" DATA:text/html,steal\">x</a>",
            "<a href=\"/otl/other\">x</a>",
            "<iframe src=\"https://evil.example\"></iframe>",
            "<form action=\"https://evil.example\"><input name=\"steal\"><button>x</button></form>",
            "<meta http-equiv=\"refresh\" content=\"0;url=https://evil.example\">",
            "<base href=\"https://evil.example\">",
            "<link rel=\"stylesheet\" href=\"https://evil.example\">",
            "<svg><script>steal()</script></svg>",
            "<object data=\"https://evil.example\"></object>",
            "</textarea></title><script>steal()</script>",
            "<!-- --!><script>steal()</script>",
        ] {
            let clean = clean(html).to_lowercase();
            for harm in [
                "steal", "evil", "style", "<script", "<form", "<iframe", "<meta", "<base", "<svg", "data:", "href",
                "src=",
            ] {
                assert!(!clean.contains(harm), "{html} became {clean}");
            }
        }
    }
}
