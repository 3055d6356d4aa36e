//! Printed vouchers: what is on them, and that PDF and page show the same. Read back by poppler.

use std::{path::PathBuf, process::Command};

use axum::http::StatusCode;
use doorward::{
    app::{operators::Role, vouchers::VoucherFilter},
    clock::now_ms,
};
use doorward_policy::voucher::VoucherId;
use tempfile::TempDir;

use crate::{browser::Browser, databases::Database, gateway::Gateway, guests::hotspot};

both_engines!(
    sheets_have_their_paper,
    a_thousand_are_drawn,
    what_is_printed_is_chosen,
    whatever_people_write_is_drawn,
    only_who_may_see_passcodes_prints,
);

/// The form of the page, sent elsewhere: what is ticked is what is drawn.
const PDF: &str = "type=\"submit\" form=\"what\" formaction=\"/vouchers/print.pdf\"";
const A4: &str = "595.276 x 841.89 pts (A4)";
const PORTAL: &str = "http://login.guest.internal";
const ROLL: &str = "226.772 x 841.89 pts";

/// A sheet as a file, for programs of others.
struct Sheet {
    folder: TempDir,
}

impl Sheet {
    async fn get(browser: &Browser<'_>, query: &str) -> Self {
        let answer = browser.get(&format!("/vouchers/print.pdf?{query}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{query}: {}", answer.text);
        assert_eq!(answer.headers["content-type"], "application/pdf");
        assert_eq!(answer.headers["content-disposition"], "attachment; filename=\"vouchers.pdf\"");
        assert_eq!(answer.headers["cache-control"], "no-store", "it holds passcodes");
        let sheet = Self { folder: TempDir::new().unwrap() };
        std::fs::write(sheet.path(), answer.pdf).unwrap();
        sheet
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("sheet.pdf")
    }

    /// Runs a program on the file. `after`: words behind its name.
    fn run(&self, program: &str, before: &[&str], after: &[&str]) -> Vec<u8> {
        let output = Command::new(program).args(before).arg(self.path()).args(after).output();
        let output = output.unwrap_or_else(|e| panic!("{program}: {e}: run scripts/setup"));
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && complaints.is_empty(), "{program}: {complaints}");
        output.stdout
    }

    /// Sizes of the pages, in their order.
    fn pages(&self) -> Vec<String> {
        let text = String::from_utf8(self.run("pdfinfo", &["-f", "1", "-l", "9999"], &[])).unwrap();
        let sizes = text.lines().filter(|line| line.starts_with("Page ") && line.contains(" size:"));
        sizes.map(|line| line.split_once("size:").unwrap().1.trim().to_owned()).collect()
    }

    fn text(&self) -> String {
        String::from_utf8(self.run("pdftotext", &[], &["-"])).unwrap()
    }

    /// What a camera reads from the codes of the first page.
    fn codes(&self) -> Vec<String> {
        let pictures = self.folder.path().join("page");
        self.run("pdftoppm", &["-gray", "-r", "150", "-l", "1"], &[pictures.to_str().unwrap()]);
        let picture = std::fs::read_dir(self.folder.path()).unwrap().map(|file| file.unwrap().path());
        let picture = { picture }.find(|path| path.extension().is_some_and(|e| e == "pgm")).unwrap();
        let bytes = std::fs::read(picture).unwrap();
        // "P5", width, height, 255, and a byte for each pixel.
        let head: Vec<&str> =
            bytes.split(u8::is_ascii_whitespace).take(4).map(|word| std::str::from_utf8(word).unwrap()).collect();
        let (width, height): (usize, usize) = (head[1].parse().unwrap(), head[2].parse().unwrap());
        let pixels = &bytes[bytes.len() - width * height..];
        let mut image = rqrr::PreparedImage::prepare_from_greyscale(width, height, |x, y| pixels[y * width + x]);
        // Corners of several codes may look like one more.
        image.detect_grids().iter().filter_map(|grid| Some(grid.decode().ok()?.1)).collect()
    }
}

const TERMS: &[(&str, &str)] = &[
    ("kind", "code"),
    ("valid_for", "1 day"),
    ("starts", "first_use"),
    ("devices", "2"),
    ("total", "500"),
    ("speed_down", "10"),
];

/// Makes vouchers, and answers what says which they are.
async fn make(desk: &Browser<'_>, pairs: &[(&str, &str)]) -> String {
    let wish: Vec<_> = TERMS.iter().chain(pairs).copied().collect();
    let made = desk.post("/vouchers/+new", &wish).await;
    assert_eq!(made.status, StatusCode::SEE_OTHER, "{made:?}");
    made.headers["location"].to_str().unwrap().split_once('?').unwrap().1.to_owned()
}

async fn names(gateway: &Gateway) -> Vec<String> {
    let all = gateway.app.voucher_page(&VoucherFilter::default(), VoucherId(0), 100_000).await.unwrap();
    all.into_iter().map(|voucher| voucher.username).collect()
}

async fn sheets_have_their_paper(database: Database) {
    let gateway = Gateway::start(database).await;
    hotspot(&gateway).await;
    let desk = Browser::new(&gateway, "desk", Role::VoucherManager).await;
    let batch = make(&desk, &[("count", "30")]).await;
    let names = names(&gateway).await;
    let page = desk.get(&format!("/vouchers/+print?{batch}")).await.text;
    assert!(page.contains(PDF), "{page}");
    for (shape, paper, pages) in [("a4", A4, 3..=5), ("80mm", ROLL, 5..=8), ("labels", A4, 2..=2)] {
        let sheet = Sheet::get(&desk, &format!("{batch}&shape={shape}")).await;
        let sizes = sheet.pages();
        assert!(pages.contains(&sizes.len()) && sizes.iter().all(|size| size == paper), "{shape}: {sizes:?}");
        let text = sheet.text();
        for name in &names {
            assert_eq!(text.matches(name.as_str()).count(), 1, "{shape}: {name}: {text}");
        }
        assert_eq!(text.matches("500 MB").count(), 30, "{shape}: {text}");
        for code in sheet.codes() {
            let name = code.strip_prefix(&format!("{PORTAL}/v/")).unwrap();
            assert!(names.iter().any(|one| one == name), "{shape}: {code}");
        }
    }
    for (shape, paper) in [("a4", A4), ("80mm", ROLL), ("labels", A4)] {
        let one = Sheet::get(&desk, &format!("name={}&shape={shape}", names[0])).await;
        assert_eq!((one.pages(), one.codes()), (vec![paper.to_owned()], vec![format!("{PORTAL}/v/{}", names[0])]));
    }
    assert_eq!(desk.get("/vouchers/print.pdf?name=nobody").await.status, StatusCode::NOT_FOUND);
    assert_eq!(desk.get("/vouchers/print.pdf?batch=1").await.status, StatusCode::NOT_FOUND);
    assert_eq!(desk.get("/vouchers/print.pdf?batch=%zz").await.status, StatusCode::BAD_REQUEST);
    assert!(!desk.get("/vouchers/+print?name=nobody").await.text.contains(PDF), "nothing to draw");
}

async fn a_thousand_are_drawn(database: Database) {
    let gateway = Gateway::start(database).await;
    hotspot(&gateway).await;
    let desk = Browser::new(&gateway, "desk", Role::VoucherManager).await;
    let batch = make(&desk, &[("count", "1001")]).await;
    let names = names(&gateway).await;
    let start = now_ms();
    let sheet = Sheet::get(&desk, &format!("{batch}&shape=labels")).await;
    eprintln!("1,000 vouchers drawn in {} ms, {} bytes", now_ms() - start, sheet.path().metadata().unwrap().len());
    assert_eq!(sheet.pages().len(), 1000_usize.div_ceil(24));
    let text = sheet.text();
    assert_eq!(names.iter().filter(|name| text.matches(name.as_str()).count() == 1).count(), 1000);
    let rest = Sheet::get(&desk, &format!("{batch}&shape=labels&page=2")).await;
    assert_eq!(rest.text().matches(names[1000].as_str()).count(), 1);
    assert_eq!(desk.get(&format!("/vouchers/print.pdf?{batch}&page=3")).await.status, StatusCode::NOT_FOUND);
}

async fn what_is_printed_is_chosen(database: Database) {
    let gateway = Gateway::start(database).await;
    hotspot(&gateway).await;
    let desk = Browser::new(&gateway, "desk", Role::VoucherManager).await;
    let batch = make(&desk, &[("count", "1"), ("note", "for the wedding")]).await;
    let name = names(&gateway).await.remove(0);
    const PARTS: [(&str, &str); 4] = [
        ("validity", "1 day from the first login"),
        ("limits", "10 Mbit/s"),
        ("note", "for the wedding"),
        ("portal", "http://"),
    ];
    let usual = ["qr", "validity", "limits", "portal"];
    for (chosen, shown) in [
        ("", &usual[..]),
        ("&show=", &[]),
        ("&show=&show=qr", &["qr"]),
        ("&show=&show=portal&show=validity", &["portal", "validity"]),
        ("&show=&show=note&show=limits&show=nothing", &["note", "limits"]),
    ] {
        let query = format!("{batch}{chosen}&shape=80mm");
        let page = desk.get(&format!("/vouchers/+print?{query}")).await.text;
        let card = page.split("<section class=\"voucher-card\">").nth(1).unwrap().split("</section>").next().unwrap();
        let sheet = Sheet::get(&desk, &query).await;
        // Lines are broken where there is no room; words are not.
        let text = sheet.text().split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(card.contains(&name) && text.contains(&name), "{chosen}: {text}");
        for (part, word) in PARTS {
            let is = shown.contains(&part);
            assert_eq!((card.contains(word), text.contains(word)), (is, is), "{chosen}: {part}: {card} {text}");
            assert_eq!(page.contains(&format!("value=\"{part}\" checked")), is, "{chosen}: {part}");
        }
        let qr = shown.contains(&"qr");
        assert_eq!((card.contains("class=\"voucher-qr\""), !sheet.codes().is_empty()), (qr, qr), "{chosen}");
        assert_eq!(text.contains("Scan the code"), qr && shown.contains(&"portal"), "{chosen}: {text}");
    }
    // A Wi-Fi's name is a text of at most 32 characters, and goes along to other papers and pages.
    let query = format!("{batch}&ssid=Caf%C3%A9+%3Cb%3E+%22{}", "x".repeat(40));
    let page = desk.get(&format!("/vouchers/+print?{query}")).await.text;
    let wifi = format!("Wi-Fi: Café <b> \"{}", "x".repeat(22));
    assert!(!page.contains("Café <b>") && page.contains("xxx\" autocomplete"), "{page}");
    let text = Sheet::get(&desk, &query).await.text();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains(&wifi) && !text.contains(&"x".repeat(23)), "{wifi}: {text}");
}

async fn whatever_people_write_is_drawn(database: Database) {
    let gateway = Gateway::start(database).await;
    hotspot(&gateway).await;
    let desk = Browser::new(&gateway, "desk", Role::VoucherManager).await;
    let long = "W".repeat(64);
    let longer = "Ω".repeat(200);
    for (username, fullname, note) in [
        ("(a)\\b%", ") Tj ET endstream <</JS(app.alert(1))>>", "%PDF-1.4 \u{202e}evil"),
        ("żółw", "Zażółć gęślą jaźń ßœÿ", "Καλημέρα, привет, שלום"),
        ("日本語", "😀👩‍👩‍👧 한국어 \u{10ffff}\u{fffd}\u{301}", "مرحبا"),
        (&long, &"M".repeat(128), &longer),
    ] {
        let more = [
            ("count", "1"),
            ("kind", "login"),
            ("username", username),
            ("passcode", &long),
            ("fullname", fullname),
            ("note", note),
        ];
        make(&desk, &more).await;
        let escaped: String = username.bytes().map(|b| format!("%{b:02X}")).collect();
        for shape in ["a4", "80mm", "labels"] {
            let query =
                format!("name={escaped}&shape={shape}&show=&show=qr&show=validity&show=limits&show=note&show=portal");
            let sheet = Sheet::get(&desk, &query).await;
            assert_eq!(sheet.pages().len(), 1, "{username} {shape}");
            // Long names are broken; what both faces lack is still text.
            let text: String = sheet.text().split_whitespace().collect();
            assert!(text.contains(username), "{shape}: {username}: {text}");
            assert_eq!(text.matches(&*long).count(), if username == long { 2 } else { 1 }, "{shape}: {text}");
        }
        let text: String = Sheet::get(&desk, &format!("name={escaped}&show=note")).await.text();
        let text: String = text.split_whitespace().collect();
        let plain: String = note.chars().filter(|c| !c.is_whitespace() && *c != '\u{202e}').collect();
        // Letters that are read from the right come out of poppler in an order of its own.
        if !note.contains(['ש', 'م']) {
            assert!(text.contains(&plain), "{plain}: {text}");
        }
    }
}

async fn only_who_may_see_passcodes_prints(database: Database) {
    let gateway = Gateway::start(database).await;
    let desk = Browser::new(&gateway, "desk", Role::VoucherManager).await;
    let batch = make(&desk, &[("count", "1")]).await;
    for (name, role, status) in [
        ("eve", Role::Viewer, StatusCode::FORBIDDEN),
        ("olga", Role::Operator, StatusCode::OK),
        ("root", Role::Admin, StatusCode::OK),
    ] {
        let browser = Browser::new(&gateway, name, role).await;
        for path in ["/vouchers/+print", "/vouchers/print.pdf"] {
            assert_eq!(browser.get(&format!("{path}?{batch}")).await.status, status, "{name} {path}");
        }
    }
    // Without a hotspot there is no code and no address, but all the rest.
    let sheet = Sheet::get(&desk, &batch).await;
    assert!(sheet.text().contains(&names(&gateway).await[0]) && sheet.codes().is_empty());
}
