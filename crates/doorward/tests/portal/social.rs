//! Login by an account elsewhere, at a real OpenID Connect provider.

use doorward::{
    fetch,
    hotspot_settings::{Lang, MethodSettings, Texts},
};
use doorward_policy::guest::Method;

use crate::{
    databases::Database,
    house::{House, attribute},
    oidc,
    servers::Server,
};

both_engines!(an_account_elsewhere, what_a_provider_did_not_say);

const BACK: &str = "http://login.guest.internal/login/facebook/back";

async fn house_with_provider(database: Database) -> (House, Server) {
    let server = Server::start(|listen| oidc::command(listen, &[BACK]));
    let house = House::with(database, |settings, _| {
        let provider = Some(oidc::provider(server.address));
        settings.methods = vec![MethodSettings { provider, ..MethodSettings::new(Method::Facebook) }];
        settings.texts.insert(Lang::En, Texts { marketing: "News?".to_owned(), ..Texts::default() });
    })
    .await;
    (house, server)
}

/// What a browser does at the provider's: follows, and keeps cookies, until it is sent back.
async fn at_the_providers(mut url: String) -> String {
    let client = fetch::client(std::time::Duration::from_secs(10)).unwrap();
    let mut cookies: Vec<(String, String)> = Vec::new();
    for _ in 0..12 {
        let jar = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
        let answer = client.get(&url).header("cookie", jar).send().await.unwrap();
        for set in answer.headers().get_all("set-cookie") {
            let (name, rest) = set.to_str().unwrap().split_once('=').unwrap();
            cookies.retain(|(known, _)| known != name);
            cookies.push((name.to_owned(), rest.split(';').next().unwrap().to_owned()));
        }
        let status = answer.status();
        let to = answer.headers().get("location").map(|to| to.to_str().unwrap().to_owned());
        let Some(to) = to else { panic!("{status}: {}", answer.text().await.unwrap()) };
        url = reqwest::Url::parse(&url).unwrap().join(&to).unwrap().into();
        if let Some(path) = url.strip_prefix("http://login.guest.internal") {
            return path.to_owned();
        }
    }
    panic!("never sent back: {url}");
}

async fn an_account_elsewhere(database: Database) {
    let (house, _server) = house_with_provider(database).await;
    let guest = house.guest(7);
    let form = guest.get("/").await.shows("Log in with Test &#38; Co").form("/login/facebook");
    let page = guest.press(&form.with("marketing", "1")).await;
    page.is(200).shows("http-equiv=\"refresh\" content=\"0;url=http://127.0.0.1");
    assert!(!guest.online());
    let link = page.text.split("class=\"button").nth(1).unwrap();
    let url = attribute(link, "href");
    assert!(url.contains("code_challenge_method=S256") && url.contains("scope=openid+email+profile"), "{url}");
    let back = at_the_providers(url).await;
    // Somebody else cannot come back in the guest's place, and the guest only once.
    house.guest(8).get(&back).await.is(502).shows("did not confirm who you are");
    let page = guest.get(&back).await;
    assert_eq!(page.is(303).header("location"), "/?lang=en");
    guest.get("/").await.shows("You are online").shows("guest.one@example.com");
    guest.get(&back).await.is(502);
    let people = house.store.guest_page(Method::Facebook, None, 0, 10).await.unwrap();
    let [person] = people.as_slice() else { panic!("{people:?}") };
    assert_eq!(
        (person.email.as_deref(), person.name.as_deref(), person.picture.as_deref(), person.marketing),
        (Some("guest.one@example.com"), Some("Guest One"), Some("https://example.com/1.png"), true)
    );
    assert_eq!(house.logins().await, [("facebook".to_owned(), "guest.one@example.com".to_owned(), None)]);
}

async fn what_a_provider_did_not_say(database: Database) {
    let (house, server) = house_with_provider(database).await;
    let guest = house.guest(7);
    for query in ["", "?state=x&code=y", "?error=access_denied", "?state=%00&code=%0a"] {
        let page = guest.get(&format!("/login/facebook/back{query}")).await;
        page.is(502).shows("Test &#38; Co did not confirm who you are").shows("/login/facebook");
    }
    // A right state, but a code that the provider never gave.
    let begin = async || {
        let form = guest.get("/").await.form("/login/facebook");
        let page = guest.press(&form).await;
        let link = page.text.split("class=\"button").nth(1).map(|link| attribute(link, "href"));
        (page.status, link.unwrap_or_default())
    };
    let (_, url) = begin().await;
    let state = reqwest::Url::parse(&url).unwrap();
    let state = state.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
    guest.get(&format!("/login/facebook/back?state={state}&code=made-up")).await.is(502);
    drop(server);
    assert_eq!(begin().await.0, 200, "where it is was learnt before");
    assert!(!guest.online());
    assert!(house.store.guest_page(Method::Facebook, None, 0, 10).await.unwrap().is_empty());
}
