//! The page over the network, in a browser: log-in, what a role cannot do, log-out.
#![allow(clippy::unwrap_used)]

use nervelight_tests::access::Exposed;
use nervelight_tests::browser::Browser;
use nervelight_tests::wait_for;

#[test]
fn a_person_logs_in_looks_and_logs_out() {
    let Some(browser) = Browser::open().unwrap() else { return };
    let exposed = Exposed::new("sinks = [{ kind = \"preview\" }]").unwrap();
    let _running = exposed.start().unwrap();
    let shown = "return getComputedStyle(document.querySelector('#log-in')).display !== 'none'";
    browser.go(&format!("https://127.0.0.1:{}/", exposed.port)).unwrap();
    browser.see("#log-in h1", "Log in").unwrap();
    browser.keep("login-asked.png").unwrap();
    browser.press("nvl_guess\u{e007}").unwrap();
    browser.see("#log-in-failed", "the token is nobody's").unwrap();
    browser.press(format!("{}\u{e007}", exposed.tokens[0])).unwrap();
    browser.see("#state", "AI on").unwrap();
    assert_eq!(browser.run(shown).unwrap(), false);
    browser.see("#who", "viewer: may view").unwrap();
    browser.see("#why-not", "takes a token with the role operate").unwrap();
    assert_eq!(browser.run("return document.querySelector('#overlay').disabled").unwrap(), true);
    assert_eq!(browser.run("return document.cookie").unwrap(), "", "no script sees it");
    browser.keep("login-viewer.png").unwrap();
    browser.click("#log-out").unwrap();
    browser.see("#log-in h1", "Log in").unwrap();
    // What was shown is gone from the screen.
    let blank = "const { width, height } = document.querySelector('canvas'); return document.querySelector('canvas')\
                 .getContext('2d').getImageData(0, 0, width, height).data.every(value => value === 0)";
    assert_eq!(browser.run(blank).unwrap(), true);

    browser.size(390, 844).unwrap();
    browser.keep("login-narrow.png").unwrap();
    browser.click("#token").unwrap();
    browser.press(exposed.tokens[1].as_str()).unwrap();
    browser.click("#log-in-submit").unwrap();
    browser.see("#who", "operator: may operate").unwrap();
    browser.see("#state", "AI on").unwrap();
    browser.keep("login-operator-narrow.png").unwrap();
    browser.click("#overlay").unwrap();
    browser.see("#state", "Overlay switched off").unwrap();
    // Whoever loses the token loses the picture.
    exposed.token(&["revoke", "operator"]).unwrap();
    browser.see("#log-in h1", "Log in").unwrap();
    wait_for("a blank picture", || (browser.run(blank).unwrap() == true).then_some(())).unwrap();
}
