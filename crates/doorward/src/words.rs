//! Texts that guests and holders of links read, in their language: our own from `locales/`, the operator's from the settings.

use std::{borrow::Cow, collections::HashMap, sync::LazyLock};

use fluent_templates::{LanguageIdentifier, Loader as _, fluent_bundle::FluentValue, static_loader};

use crate::hotspot_settings::{HotspotSettings, Lang, Texts};

static_loader! {
    static LOCALES = {
        locales: "./locales",
        fallback_language: "en",
        // All five languages run the same way, and a code is copied with what stands around it.
        customise: |bundle| bundle.set_use_isolating(false),
    };
}

static IDENTIFIERS: LazyLock<[LanguageIdentifier; Lang::ALL.len()]> =
    LazyLock::new(|| Lang::ALL.map(|lang| lang.as_str().parse().unwrap_or_default()));

/// Languages, and what each calls itself.
pub const LANGUAGES: [(Lang, &str); Lang::ALL.len()] =
    [(Lang::En, "English"), (Lang::De, "Deutsch"), (Lang::Es, "Español"), (Lang::Fr, "Français"), (Lang::Pl, "Polski")];

/// Our own text of that name.
#[must_use]
pub fn text(lang: Lang, name: &str) -> String {
    LOCALES.lookup(identifier(lang), name)
}

/// Our own text of that name, if there is one.
#[must_use]
pub fn find(lang: Lang, name: &str) -> Option<String> {
    LOCALES.try_lookup(identifier(lang), name)
}

/// Our own text of that name, with values for its variables.
#[must_use]
pub fn fill(lang: Lang, name: &str, values: &[(&'static str, &str)]) -> String {
    let values: HashMap<Cow<'static, str>, FluentValue<'_>> =
        values.iter().map(|(key, value)| (Cow::Borrowed(*key), FluentValue::from(*value))).collect();
    LOCALES.lookup_with_args(identifier(lang), name, &values)
}

/// Our own text of that name for a number: `n` chooses the form (one, few, many …), `text` is what is written.
#[must_use]
pub fn count(lang: Lang, name: &str, n: u64, text: &str) -> String {
    let n = FluentValue::from(i64::try_from(n).unwrap_or(i64::MAX));
    let values = HashMap::from([(Cow::Borrowed("n"), n), (Cow::Borrowed("text"), FluentValue::from(text))]);
    LOCALES.lookup_with_args(identifier(lang), name, &values)
}

/// A text of the operator's: in the guest's language, else in English, else in any that there is; empty: none.
#[must_use]
pub fn of_operator(settings: &HotspotSettings, lang: Lang, which: fn(&Texts) -> &String) -> &str {
    let given = |texts: &Texts| !which(texts).trim().is_empty();
    let all = &settings.texts;
    let chosen = [lang, Lang::En].into_iter().filter_map(|lang| all.get(&lang)).find(|texts| given(texts));
    chosen.or_else(|| all.values().find(|texts| given(texts))).map_or("", |texts| which(texts).as_str())
}

/// The portal's title.
#[must_use]
pub fn title(settings: &HotspotSettings, lang: Lang) -> String {
    match of_operator(settings, lang, |texts| &texts.title) {
        "" => text(lang, "title"),
        own => own.to_owned(),
    }
}

/// A length of time, in its two largest units.
#[must_use]
pub fn duration(lang: Lang, seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let number = |n: u64| n.to_string();
    match seconds {
        0..60 => fill(lang, "time-seconds", &[("seconds", &number(seconds))]),
        60..3600 => fill(lang, "time-minutes", &[("minutes", &number(minutes))]),
        3600..86_400 => fill(lang, "time-hours", &[("hours", &number(hours)), ("minutes", &number(minutes))]),
        86_400.. => fill(lang, "time-days", &[("days", &number(days)), ("hours", &number(hours))]),
    }
}

/// An amount of data: `1.5 GB`, where a GB is 1,024 MB, and a MB 1,048,576 bytes.
#[must_use]
pub fn data(lang: Lang, bytes: u64) -> String {
    const MB: u64 = 1_048_576;
    let (unit, name) = if bytes >= 1024 * MB { (1024 * MB, "GB") } else { (MB, "MB") };
    let tenths = u128::from(bytes) * 10 / u128::from(unit);
    let (whole, tenth) = (tenths / 10, tenths % 10);
    let point = if lang == Lang::En { '.' } else { ',' };
    if tenth == 0 || whole >= 100 { format!("{whole} {name}") } else { format!("{whole}{point}{tenth} {name}") }
}

fn identifier(lang: Lang) -> &'static LanguageIdentifier {
    match lang {
        Lang::En => &IDENTIFIERS[0],
        Lang::De => &IDENTIFIERS[1],
        Lang::Es => &IDENTIFIERS[2],
        Lang::Fr => &IDENTIFIERS[3],
        Lang::Pl => &IDENTIFIERS[4],
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::{BTreeMap, BTreeSet},
        fs,
        path::Path,
    };

    use super::*;

    /// Names of messages, with the variables that they use.
    fn messages(lang: Lang) -> BTreeMap<String, BTreeSet<String>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("locales").join(lang.as_str());
        let mut messages: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for file in fs::read_dir(folder).unwrap() {
            let text = fs::read_to_string(file.unwrap().path()).unwrap();
            let mut name = String::new();
            for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
                // Forms for numbers stand on lines of their own.
                if !line.starts_with([' ', '}']) {
                    let (begun, _) = line.split_once(" =").unwrap_or_else(|| panic!("{lang:?}: {line}"));
                    begun.clone_into(&mut name);
                    assert!(messages.insert(name.clone(), BTreeSet::new()).is_none(), "{lang:?}: twice: {name}");
                }
                let variables = line.split('$').skip(1).map(|rest| {
                    rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_' || *c == '-').collect::<String>()
                });
                messages.entry(name.clone()).or_default().extend(variables);
            }
        }
        messages
    }

    #[test]
    fn every_language_has_every_text_with_its_variables() {
        let english = messages(Lang::En);
        assert!(english.len() > 80);
        for lang in Lang::ALL {
            assert_eq!(messages(lang), english, "{lang:?}");
        }
        let titles: BTreeSet<String> = Lang::ALL.into_iter().map(|lang| text(lang, "title")).collect();
        assert_eq!(titles.len(), Lang::ALL.len(), "each is answered in its own language");
    }

    #[test]
    fn values_are_filled_in_as_they_are() {
        assert_eq!(fill(Lang::De, "code-sent", &[("to", "a@b.example")]).matches("a@b.example").count(), 1);
        assert_eq!(
            fill(Lang::En, "sms-text", &[("code", "012345"), ("title", "H")]),
            "012345 is your Wi-Fi code for H."
        );
    }

    #[test]
    fn amounts() {
        let times = [59, 60, 3599, 3600, 86_399, 86_400, 176_400].map(|s| duration(Lang::En, s));
        assert_eq!(times, ["59 s", "1 min", "59 min", "1 h 0 min", "23 h 59 min", "1 d 0 h", "2 d 1 h"]);
        let mb = 1_048_576;
        let amounts = [0, mb / 2, mb, 1023 * mb, 1536 * mb, u64::MAX].map(|bytes| data(Lang::En, bytes));
        assert_eq!(amounts, ["0 MB", "0.5 MB", "1 MB", "1023 MB", "1.5 GB", "17179869183 GB"]);
        assert_eq!(data(Lang::De, 1536 * mb), "1,5 GB");
    }

    #[test]
    fn the_operators_words_come_first() {
        let mut settings = HotspotSettings::default();
        assert_eq!(title(&settings, Lang::Fr), "Wi-Fi invités");
        let texts = |title: &str| Texts { title: title.to_owned(), ..Texts::default() };
        settings.texts.insert(Lang::Pl, texts("Zamek"));
        assert_eq!(title(&settings, Lang::Fr), "Zamek", "better than none");
        settings.texts.insert(Lang::En, texts("Castle"));
        settings.texts.insert(Lang::Fr, texts(" "));
        assert_eq!((title(&settings, Lang::Fr), title(&settings, Lang::Pl)), ("Castle".to_owned(), "Zamek".to_owned()));
    }
}
