//! The panel: who gets in, who may what, and what no route may forget.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::{Method, StatusCode};
use doorward::{
    app::{
        desk::{Operation, allows},
        operators::Role,
    },
    http::panel::{self, Need},
};

use crate::{
    browser::{Browser, PASSWORD, form, operator, sign_in},
    databases::Database,
    gateway::Gateway,
};

both_engines!(
    the_first_start_makes_one_admin,
    every_route_asks_for_its_role,
    every_change_asks_for_the_token_of_its_page,
    nobody_gets_in_without_the_right_words,
    a_code_works_once,
    passkeys_are_asked_for_and_refused,
    sessions_end,
    nobody_raises_themselves,
    every_change_is_noted,
    lists_are_searched_sorted_paged_and_exported,
    whatever_people_call_themselves_is_text,
);

/// A path with something in the place of its names.
fn filled(path: &str) -> String {
    path.split('/').map(|part| if part.starts_with('{') { "1" } else { part }).collect::<Vec<_>>().join("/")
}

async fn the_first_start_makes_one_admin(database: Database) {
    let gateway = Gateway::start(database).await;
    let token = gateway.app.begin_setup().await.unwrap().unwrap();
    let open = |path: &str| gateway.call("GET", "").uri(path).cookie(None).send();
    assert_eq!(open("/").await.headers["location"], "/login");
    assert_eq!(open("/login").await.headers["location"], "/setup");
    let page = open("/setup").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(!page.text.contains(&token));
    let send = |token: String, name: &'static str, password: &'static str| {
        let call = gateway.call("POST", "").uri("/setup").cookie(None).header("sec-fetch-site", "same-origin");
        let form = form(&[("token", &token), ("name", name), ("password", password), ("again", password)]);
        call.form(&form).send()
    };
    assert_eq!(send("wrong".to_owned(), "anna", PASSWORD).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(send(token.clone(), "anna", "short").await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(send(token.clone(), "an na", PASSWORD).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(gateway.app.operators().await.unwrap().is_empty());
    assert_eq!(send(token.clone(), "anna", PASSWORD).await.status, StatusCode::SEE_OTHER);
    assert_eq!(send(token, "bert", PASSWORD).await.status, StatusCode::UNPROCESSABLE_ENTITY, "once");
    let operators = gateway.app.operators().await.unwrap();
    assert_eq!(operators.iter().map(|o| (o.name.as_str(), o.role)).collect::<Vec<_>>(), [("anna", Role::Admin)]);
    assert_eq!(gateway.app.begin_setup().await.unwrap(), None);
    assert_eq!(open("/setup").await.headers["location"], "/login");
    let browser = Browser::sign_in(&gateway, "anna", "192.0.2.10").await;
    assert_eq!(browser.get("/").await.status, StatusCode::OK);
}

async fn every_route_asks_for_its_role(database: Database) {
    let gateway = Gateway::start(database).await;
    let mut browsers = Vec::new();
    for role in Role::ALL {
        browsers.push((role, Browser::new(&gateway, &format!("a-{}", role.as_str().replace('_', "-")), role).await));
    }
    let routes = panel::routes(gateway.app.clone());
    assert!(routes.len() > 20, "{routes:?}");
    for route in &routes {
        let path = filled(route.path);
        let Need::To(module, operation) = route.need else {
            assert!(
                ["/login", "/login/passkey", "/login/passkey/options", "/setup", "/assets/{file}"]
                    .contains(&route.path),
                "open to everybody: {route:?}"
            );
            continue;
        };
        assert!(
            route.method == Method::GET || operation == Operation::Change,
            "a change is declared as one: {route:?}"
        );
        let nobody = gateway.call(route.method.as_str(), "").uri(&path).cookie(None).header("accept", "text/html");
        let nobody = nobody.header("sec-fetch-site", "same-origin").send().await;
        let expected = if route.method == Method::GET { StatusCode::SEE_OTHER } else { StatusCode::UNAUTHORIZED };
        assert_eq!(nobody.status, expected, "{route:?}");
        for (role, browser) in &browsers {
            // Signing out would end the walk, and events never end.
            if ["/logout", "/events"].contains(&route.path) {
                continue;
            }
            let answer = match route.method == Method::GET {
                true => browser.get(&path).await,
                false => browser.post(&path, &[]).await,
            };
            let allowed = allows(*role, module, operation);
            assert_eq!(answer.status != StatusCode::FORBIDDEN, allowed, "{role:?} {route:?}: {}", answer.status);
            assert!(!answer.status.is_server_error(), "{role:?} {route:?}: {answer:?}");
        }
    }
}

async fn every_change_asks_for_the_token_of_its_page(database: Database) {
    let gateway = Gateway::start(database).await;
    let (anna, bert) =
        (Browser::new(&gateway, "anna", Role::Admin).await, Browser::new(&gateway, "bert", Role::Admin).await);
    for route in panel::routes(gateway.app.clone()).iter().filter(|route| route.method != Method::GET) {
        let path = filled(route.path);
        if let Need::To(..) = route.need {
            for body in [String::new(), form(&[("csrf", "")]), form(&[("csrf", &bert.csrf)])] {
                let answer = anna.post_raw(&path, &body).await;
                assert_eq!(answer.status, StatusCode::FORBIDDEN, "{route:?}");
            }
        }
        for site in ["cross-site", "same-site"] {
            let call = gateway.call("POST", "").uri(&path).cookie(Some(&anna.cookie)).header("sec-fetch-site", site);
            let answer = call.form(&form(&[("csrf", &anna.csrf)])).send().await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{route:?} from {site}");
        }
    }
}

async fn nobody_gets_in_without_the_right_words(database: Database) {
    let gateway = Gateway::start(database).await;
    operator(&gateway, "anna", Role::Admin).await;
    let bodies = [("anna", "wrong password!"), ("nobody", PASSWORD), ("Anna", PASSWORD), ("", ""), ("a\0b", "x")];
    let mut pages = Vec::new();
    for (n, (name, password)) in bodies.into_iter().enumerate() {
        let answer = sign_in(&gateway, &format!("198.51.100.{n}"), &[("name", name), ("password", password)]).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{name}");
        assert!(!answer.headers.contains_key("set-cookie"));
        pages.push(answer.text.replace(&format!("value=\"{name}\""), "value=\"\""));
    }
    assert_eq!(pages[0], pages[1], "unknown and wrong are one");
    // An address that guesses waits; others do not.
    for _ in 0..5 {
        sign_in(&gateway, "198.51.100.99", &[("name", "anna"), ("password", "no")]).await;
    }
    let right = [("name", "anna"), ("password", PASSWORD)];
    let locked = sign_in(&gateway, "198.51.100.99", &right).await;
    assert_eq!(locked.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(locked.text.contains("Too many failures"), "{}", locked.text);
    assert_eq!(sign_in(&gateway, "192.0.2.10", &right).await.status, StatusCode::SEE_OTHER);
    // A name that many guess at is locked, but not where its operator is known.
    for n in 0..12 {
        sign_in(&gateway, &format!("203.0.113.{n}"), &[("name", "anna"), ("password", "no")]).await;
    }
    assert!(sign_in(&gateway, "203.0.113.200", &right).await.text.contains("Too many failures"));
    assert_eq!(sign_in(&gateway, "192.0.2.10", &right).await.status, StatusCode::SEE_OTHER);
}

fn code(secret: &str) -> String {
    let secret = totp_rs::Secret::try_from_base32(secret).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    totp_rs::Builder::new().with_secret(secret).build().unwrap().generate(now).to_string()
}

async fn a_code_works_once(database: Database) {
    let gateway = Gateway::start(database).await;
    let anna = Browser::new(&gateway, "anna", Role::Viewer).await;
    let page = anna.get("/profile/totp").await.text;
    let secret = page.split("name=\"secret\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let wrong = anna.post("/profile/totp", &[("secret", &secret), ("code", "000000x")]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.text.contains(&secret), "the same one again");
    anna.done("/profile/totp", &[("secret", &secret), ("code", &code(&secret))]).await;
    let now = code(&secret);
    let pairs = |code| [("name", "anna"), ("password", PASSWORD), ("code", code)];
    assert_eq!(sign_in(&gateway, "192.0.2.1", &pairs("")).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(sign_in(&gateway, "192.0.2.1", &pairs(&now)).await.status, StatusCode::SEE_OTHER);
    assert_eq!(sign_in(&gateway, "192.0.2.1", &pairs(&now)).await.status, StatusCode::UNPROCESSABLE_ENTITY, "once");
    anna.done("/profile/totp-off", &[("password", PASSWORD)]).await;
    assert_eq!(sign_in(&gateway, "192.0.2.1", &pairs("")).await.status, StatusCode::SEE_OTHER);
}

/// What real ones do is seen with a browser (`tests/lab/panel.rs`).
async fn passkeys_are_asked_for_and_refused(database: Database) {
    let gateway = Gateway::start(database).await;
    let anna = Browser::new(&gateway, "anna", Role::Admin).await;
    let options = anna.post("/profile/passkeys/options", &[]).await.json();
    let wanted = &options["options"];
    assert_eq!((&wanted["rp"]["id"], &wanted["user"]["name"]), (&"vpn.example.net".into(), &"anna".into()));
    assert_eq!(wanted["authenticatorSelection"]["userVerification"], "required");
    assert_eq!(wanted["authenticatorSelection"]["residentKey"], "required");
    let add = async |password: &str, label: &str, credential: &str| {
        let form = [("password", password), ("label", label), ("credential", credential)];
        anna.done("/profile/passkeys", &form).await.text
    };
    assert!(
        add("wrong horse battery", "laptop", "{}").await.contains("present password is wrong"),
        "the password first"
    );
    assert!(add(PASSWORD, "", "{}").await.contains("needs a name of at most 60"));
    assert!(add(PASSWORD, &"x".repeat(61), "{}").await.contains("needs a name of at most 60"));
    for bad in ["", "{}", "not JSON", &"[".repeat(100_000)] {
        assert!(add(PASSWORD, "laptop", bad).await.contains("The passkey was not accepted"), "{bad}");
    }
    let open = |path: &str, form: &str| {
        let call = gateway.call("POST", "").uri(path).cookie(None).from("192.0.2.10");
        call.header("sec-fetch-site", "same-origin").form(form).send()
    };
    let asked = open("/login/passkey/options", "").await.json();
    assert_eq!(asked["options"]["userVerification"], "required");
    assert_eq!(asked["options"]["allowCredentials"], serde_json::json!([]), "nobody is told of");
    let ticket = asked["ticket"].as_str().unwrap();
    let made_up = r#"{"id":"AAAA","rawId":"AAAA","type":"public-key","extensions":{},"response":
        {"authenticatorData":"AAAA","clientDataJSON":"e30","signature":"AAAA","userHandle":"AAAAAAAAAAAAAAAAAAAAAQ"}}"#;
    for (ticket, credential) in [("", "{}"), ("made-up", made_up), (ticket, made_up), (ticket, made_up)] {
        let refused = open("/login/passkey", &form(&[("ticket", ticket), ("credential", credential)])).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(refused.text.contains("This passkey was not accepted") && !refused.headers.contains_key("set-cookie"));
    }
    // As with passwords, who fails too often waits.
    let mut waits = false;
    for _ in 0..40 {
        let answer = open("/login/passkey", &form(&[("ticket", "x"), ("credential", "{}")])).await;
        waits |= answer.text.contains("wait");
    }
    assert!(waits);
}

async fn sessions_end(database: Database) {
    let gateway = Gateway::start(database).await;
    let (one, root) =
        (Browser::new(&gateway, "anna", Role::Operator).await, Browser::new(&gateway, "root", Role::Admin).await);
    let two = Browser::sign_in(&gateway, "anna", "192.0.2.11").await;
    assert!(one.get("/profile").await.text.contains("192.0.2.11"));
    one.done("/profile/sessions", &[("session", "others")]).await;
    assert_eq!(two.get("/").await.headers["location"], "/login");
    let three = Browser::sign_in(&gateway, "anna", "192.0.2.12").await;
    let change = [("old", PASSWORD), ("password", "another good password"), ("again", "another good password")];
    one.done("/profile/password", &change).await;
    assert_eq!(three.get("/").await.status, StatusCode::SEE_OTHER, "a new password ends the others");
    assert_eq!(one.get("/").await.status, StatusCode::OK);
    root.done("/operators/anna", &[("role", "operator")]).await;
    assert_eq!(one.get("/").await.status, StatusCode::SEE_OTHER, "disabled");
    let bye = root.post("/logout", &[]).await;
    assert!(bye.headers["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
    assert_eq!(root.get("/").await.status, StatusCode::SEE_OTHER);
}

async fn nobody_raises_themselves(database: Database) {
    let gateway = Gateway::start(database).await;
    let root = Browser::new(&gateway, "root", Role::Admin).await;
    operator(&gateway, "anna", Role::Viewer).await;
    // Not even an admin changes their own role, locks themselves out or deletes themselves.
    for (path, pairs) in [
        ("/operators/root", &[("role", "viewer"), ("enabled", "1")][..]),
        ("/operators/root", &[("role", "admin")]),
        ("/operators/root/delete", &[]),
    ] {
        let page = root.done(path, pairs).await;
        assert!(page.text.contains("Nobody changes their own role"), "{path}: {}", page.text);
    }
    root.done("/operators/anna", &[("role", "admin"), ("enabled", "1")]).await;
    let anna = Browser::sign_in(&gateway, "anna", "192.0.2.12").await;
    anna.done("/operators/root", &[("role", "operator"), ("enabled", "1")]).await;
    assert_eq!(root.get("/operators").await.status, StatusCode::FORBIDDEN, "at once");
    assert_eq!(
        root.post("/operators/root", &[("role", "admin"), ("enabled", "1")]).await.status,
        StatusCode::FORBIDDEN
    );
    let roles: Vec<_> = gateway.app.operators().await.unwrap().into_iter().map(|o| o.role).collect();
    assert_eq!(roles, [Role::Admin, Role::Operator]);
}

async fn every_change_is_noted(database: Database) {
    let gateway = Gateway::start(database).await;
    let root = Browser::new(&gateway, "root", Role::Admin).await;
    let new = [("name", "anna"), ("role", "viewer"), ("password", PASSWORD), ("again", PASSWORD)];
    assert!(root.done("/operators/+new", &new).await.text.contains("anna was created"));
    assert_eq!(root.post("/operators/+new", &new).await.status, StatusCode::UNPROCESSABLE_ENTITY, "twice");
    root.done("/operators/anna", &[("role", "operator"), ("enabled", "1")]).await;
    root.done("/operators/anna/password", &[("password", "some other password")]).await;
    root.done("/operators/anna/delete", &[]).await;
    let csv = root.get("/audit.csv?sort=time&desc=0").await.text;
    let lines: Vec<Vec<&str>> = csv.lines().map(|line| line.trim_matches('"').split("\",\"").collect()).collect();
    let what: Vec<_> = lines.iter().skip(1).map(|cells| cells[1..].to_vec()).collect();
    let expected = [
        ["root", "192.0.2.10", "operators", "create", "anna", "", "viewer", "done"],
        ["root", "192.0.2.10", "operators", "create", "anna", "", "viewer", "the name is taken"],
        ["root", "192.0.2.10", "operators", "edit", "anna", "viewer enabled", "operator enabled", "done"],
        ["root", "192.0.2.10", "operators", "password", "anna", "", "", "done"],
        ["root", "192.0.2.10", "operators", "delete", "anna", "operator", "", "done"],
    ];
    assert_eq!(what, expected);
    assert!(!csv.contains(PASSWORD) && !csv.contains("some other"));
}

async fn lists_are_searched_sorted_paged_and_exported(database: Database) {
    let gateway = Gateway::start(database).await;
    let root = Browser::new(&gateway, "root", Role::Admin).await;
    for _ in 0..60 {
        root.done("/profile/look", &[("lang", "en"), ("theme", "dark")]).await;
    }
    let page = root.get("/audit").await.text;
    assert_eq!(page.matches("<td data-label=\"Time\"").count(), 50);
    assert!(page.contains("1–50 / 60"), "{page}");
    let second = root.get("/audit?page=2").await.text;
    assert_eq!(second.matches("<td data-label=\"Time\"").count(), 10);
    assert!(second.contains("51–60 / 60"));
    assert!(root.get("/audit?q=LOOK&size=25").await.text.contains("1–25 / 60"), "whatever the case");
    assert!(root.get("/audit?q=%25").await.text.contains("Nothing was found"), "no pattern");
    assert!(root.get("/audit?page=4000000").await.text.contains("/ 60"));
    assert_eq!(root.get("/audit?q=%zz").await.status, StatusCode::BAD_REQUEST);
    let csv = root.get("/audit.csv").await;
    assert_eq!(csv.headers["content-disposition"], "attachment; filename=\"audit.csv\"");
    assert_eq!(csv.text.lines().count(), 61);
}

async fn whatever_people_call_themselves_is_text(database: Database) {
    let gateway = Gateway::start(database).await;
    operator(&gateway, "root", Role::Admin).await;
    let evil = "<script>alert(1)</script>\"'=1+1\u{202e}";
    let call = gateway.call("POST", "").uri("/login").cookie(None).from("192.0.2.10");
    let call = call.header("sec-fetch-site", "same-origin").header("user-agent", evil);
    let answer = call.form(&form(&[("name", "root"), ("password", PASSWORD)])).send().await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    let root = Browser::sign_in(&gateway, "root", "192.0.2.10").await;
    let page = root.get("/profile").await;
    assert!(!page.text.contains("<script>alert") && page.text.contains("&#60;script&#62;alert(1)"), "{}", page.text);
    let refused = sign_in(&gateway, "192.0.2.77", &[("name", evil), ("password", "x"), ("next", evil)]).await;
    assert!(!refused.text.contains("<script>alert"), "{}", refused.text);
    for (name, value) in [
        ("content-security-policy", "script-src 'self'"),
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
        ("cache-control", "no-store"),
    ] {
        assert!(page.headers[name].to_str().unwrap().contains(value), "{name}");
    }
    assert!(!page.headers["content-security-policy"].to_str().unwrap().contains("unsafe"));
    for file in ["/assets/panel.js", "/assets/panel.css", "/assets/icons.svg"] {
        let asset = gateway.call("GET", "").uri(file).cookie(None).send().await;
        assert_eq!(
            (asset.status, asset.headers["x-content-type-options"].as_bytes()),
            (StatusCode::OK, &b"nosniff"[..])
        );
        assert!(asset.headers["cache-control"].to_str().unwrap().contains("immutable"));
    }
}
