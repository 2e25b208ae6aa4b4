//! Who may do what over the network: every route of the OpenAPI document, tokens, sessions, certificates, the audit log.
#![allow(clippy::unwrap_used)]

use std::io::Read;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nervelight_tests::access::{Exposed, NAME, code};
use nervelight_tests::web::Answer;
use nervelight_tests::{Cart, root, run, wait_for};
use serde_json::Value;

const SINKS: &str = "sinks = [{ kind = \"preview\" }]";
const ROLES: [&str; 3] = ["view", "operate", "deploy"];

/// Method, path with its parameters filled in, and the role that it needs.
fn routes(document: &Value) -> Vec<(String, String, Option<usize>)> {
    let mut found = vec![];
    for (path, item) in document["paths"].as_object().unwrap() {
        let path = path.replace("{sink}", "7").replace(['{', '}'], "");
        for (method, operation) in item.as_object().unwrap() {
            let role = operation["security"][0]["token"][0].as_str();
            let role = role.map(|role| ROLES.iter().position(|known| *known == role).unwrap());
            found.push((method.to_uppercase(), path.clone(), role));
        }
    }
    found
}

/// Everything that a daemon said, so that secrets can be looked for.
struct Said(String);

impl Said {
    fn add(&mut self, answer: Answer) -> Answer {
        self.0 += &format!("{}{}", answer.head, answer.text());
        answer
    }
}

#[test]
fn every_route_keeps_strangers_out() {
    let exposed = Exposed::new(SINKS).unwrap();
    let revoked = exposed.add_token("gone", "deploy").unwrap();
    let running = exposed.start().unwrap();
    let bearer = |token: &str| format!("Authorization: Bearer {token}");
    // Tokens that were proven once pass whatever others try.
    for token in 0..3 {
        assert_eq!(exposed.with(token, "GET", "/api/v1/session", "").unwrap().status, 200);
    }
    assert_eq!(exposed.ask("GET", "/status", &[&bearer(&revoked)], "").unwrap().status, 200);
    exposed.token(&["revoke", "gone"]).unwrap();
    sleep(Exposed::REVOKED);

    let mut said = Said(String::new());
    let document = said.add(exposed.ask("GET", "/api/v1/openapi.json", &[], "").unwrap());
    let routes = routes(&serde_json::from_slice(&document.body).unwrap());
    assert!(routes.len() > 15, "{routes:?}");
    let wrong = format!("{}x", &exposed.tokens[2][..exposed.tokens[2].len() - 1]);
    let mut refusals = vec![];
    for (method, path, role) in &routes {
        let mut ask = |headers: &[&str]| said.add(exposed.ask(method, path, headers, "").unwrap());
        let about = format!("{method} {path}");
        let own = bearer(&exposed.tokens[2]);
        for headers in [
            vec![own.as_str(), "Host: evil.example"],
            vec![own.as_str(), "Origin: https://evil.example"],
            vec![own.as_str(), "Sec-Fetch-Site: cross-site"],
        ] {
            let answer = ask(&headers);
            assert_eq!(answer.status, 403, "{about} {headers:?}");
            assert_eq!(code(&answer).unwrap(), "wrong_host_or_origin", "{about}");
        }
        let Some(role) = *role else { continue };
        let stranger = ask(&[]);
        let unsafe_method = !["GET", "HEAD", "OPTIONS"].contains(&method.as_str());
        let expected = if unsafe_method { (403, "wrong_host_or_origin") } else { (401, "unauthenticated") };
        assert_eq!((stranger.status, code(&stranger).unwrap().as_str()), expected, "{about}");
        let origin = format!("Origin: {}", exposed.address());
        let stranger = ask(&[&origin]);
        assert_eq!((stranger.status, code(&stranger).unwrap().as_str()), (401, "unauthenticated"), "{about}");
        assert!(stranger.head.contains("www-authenticate: bearer"), "{about}: {}", stranger.head);
        for token in [&wrong, &revoked] {
            let answer = ask(&[&bearer(token)]);
            let why = code(&answer).unwrap();
            assert!(
                matches!((answer.status, why.as_str()), (401, "invalid_token") | (429, "too_many_attempts")),
                "{about}: {answer:?}"
            );
            refusals.push(answer.status);
        }
        if role > 0 {
            let weak = ask(&[&bearer(&exposed.tokens[role - 1])]);
            assert_eq!((weak.status, code(&weak).unwrap().as_str()), (403, "role_too_weak"), "{about}");
        }
        // What does not end is looked at elsewhere, and what ends it needs no proof here.
        if !path.ends_with("/stream.mjpg") && !path.ends_with("/events") {
            let answer = ask(&[&bearer(&exposed.tokens[role])]);
            assert!(![401, 403].contains(&answer.status), "{about}: {answer:?}");
        }
    }
    assert!(refusals.contains(&401) && refusals.contains(&429), "{refusals:?}");
    for (method, path, status, word) in [
        ("GET", "/absent", 404, "not_found"),
        ("GET", "/overlay", 404, "not_found"),
        ("PATCH", "/status", 405, "method_not_allowed"),
        ("PUT", "/api/v1/overlay", 400, "bad_request"),
    ] {
        let answer = said.add(exposed.with(2, method, path, "").unwrap());
        assert_eq!((answer.status, code(&answer).unwrap().as_str()), (status, word), "{method} {path}");
    }
    let long = said.add(exposed.with(2, "PUT", "/api/v1/overlay", &"x".repeat(70_000)).unwrap());
    assert_eq!(code(&long).unwrap(), "too_large");
    let header = [bearer(&exposed.tokens[2]), "Content-Type: text/plain".into()];
    let plain = exposed.ask("PUT", "/api/v1/overlay", &[&header[0], &header[1]], "{}").unwrap();
    assert_eq!((plain.status, code(&plain).unwrap().as_str()), (415, "unsupported_media_type"));

    // Nothing that is secret was said anywhere.
    let ended = running.terminate().unwrap();
    let audit = format!("{:?}", exposed.audit().unwrap());
    let tokens = std::fs::read_to_string(exposed.cart.path("tokens.json")).unwrap();
    for text in [&said.0, &ended.stderr, &ended.stdout, &audit, &tokens] {
        for secret in exposed.tokens.iter().chain([&wrong, &revoked]) {
            // What follows the prefix and the name that is no secret.
            let secret: String = secret.splitn(3, '_').nth(2).unwrap().chars().take(20).collect();
            assert!(!text.contains(&secret) && !text.contains(&secret.to_lowercase()), "{text}");
        }
    }
    for text in [&said.0, &audit] {
        assert!(
            !text.contains("key.pem") && !text.contains("argon2") && !text.contains("tokens.json"),
            "{text}"
        );
    }
    assert!(ended.success, "{}", ended.stderr);
}

#[test]
fn who_forgets_tls_is_told_so() {
    let exposed = Exposed::new(SINKS).unwrap();
    let _running = exposed.start().unwrap();
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "10", "-w", "%{http_code}", "-d", "x"]);
    let ended = run(command.arg(format!("http://127.0.0.1:{}", exposed.port))).unwrap();
    assert!(ended.stdout.contains("https://") && ended.stdout.ends_with("400"), "{ended:?}");
    assert_eq!(exposed.with(0, "GET", "/status", "").unwrap().status, 200);
}

#[test]
fn a_revoked_token_ends_what_it_watches() {
    let exposed = Exposed::new(SINKS).unwrap();
    let _running = exposed.start().unwrap();
    let mut command = exposed.curl();
    command.args(["--no-buffer", "--max-time", "30", "--header"]);
    command.arg(format!("Authorization: Bearer {}", exposed.tokens[0]));
    command.arg(format!("{}/stream.mjpg", exposed.address())).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut watching = command.spawn().unwrap();
    let mut pictures = watching.stdout.take().unwrap();
    let mut some = vec![0; 100_000];
    pictures.read_exact(&mut some).unwrap();
    exposed.token(&["revoke", "viewer"]).unwrap();
    let begun = Instant::now();
    pictures.read_to_end(&mut some).unwrap();
    assert!(
        watching.wait().unwrap().success() && begun.elapsed() < Duration::from_secs(3),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(code(&exposed.with(0, "GET", "/status", "").unwrap()).unwrap(), "invalid_token");
    assert_eq!(exposed.with(1, "GET", "/status", "").unwrap().status, 200);
    // One that is added counts at once, too.
    let added = exposed.add_token("new", "view").unwrap();
    sleep(Exposed::REVOKED);
    let bearer = format!("Authorization: Bearer {added}");
    assert_eq!(exposed.ask("GET", "/status", &[&bearer], "").unwrap().status, 200);
}

#[test]
fn who_guesses_waits_and_the_known_do_not() {
    let exposed = Exposed::new(SINKS).unwrap();
    let _running = exposed.start().unwrap();
    let guess = |n: usize| {
        let bearer = format!("Authorization: Bearer nvl_0000{n:04}_{}", "A".repeat(43));
        exposed.ask("GET", "/status", &[&bearer], "").unwrap()
    };
    let answers: Vec<_> = (0..30).map(guess).collect();
    let last = answers.last().unwrap();
    assert_eq!((last.status, code(last).unwrap().as_str()), (429, "too_many_attempts"));
    assert!(last.head.contains("retry-after: "), "{}", last.head);
    assert_eq!(exposed.with(0, "GET", "/status", "").unwrap().status, 200, "it was proven before");
    // Their number does not fill the log.
    let guesses = exposed.audit().unwrap().iter().filter(|line| line["who"] == "unknown").count();
    assert!((1..=2).contains(&guesses), "{guesses}");
}

#[test]
fn a_session_is_a_cookie_that_only_the_page_can_use() {
    let exposed = Exposed::new(SINKS).unwrap();
    let _running = exposed.start().unwrap();
    let origin = format!("Origin: {}", exposed.address());
    let body = |token: &str| format!("{{\"token\": \"{token}\"}}");
    let refused = exposed.ask("POST", "/api/v1/session", &[&origin], &body("nvl_guess")).unwrap();
    assert_eq!((refused.status, code(&refused).unwrap().as_str()), (401, "invalid_token"));
    let foreign = ["Origin: https://evil.example"];
    assert_eq!(
        exposed.ask("POST", "/api/v1/session", &foreign, &body(&exposed.tokens[0])).unwrap().status,
        403
    );
    let begun = exposed.ask("POST", "/api/v1/session", &[&origin], &body(&exposed.tokens[1])).unwrap();
    assert_eq!(begun.status, 200, "{}", begun.text());
    assert!(begun.text().contains("operator") && !begun.text().contains(&exposed.tokens[1]));
    // The head is in lower case; the secret is not.
    let output = exposed
        .curl()
        .args(["--include", "--header", &origin, "--header", "Content-Type: application/json", "--data"])
        .arg(body(&exposed.tokens[1]))
        .arg(format!("{}/api/v1/session", exposed.address()))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find(|line| line.to_lowercase().starts_with("set-cookie: ")).unwrap();
    for attribute in ["; HttpOnly", "; Secure", "; SameSite=Strict", "; Path=/", "; Max-Age=43200"] {
        assert!(line.contains(attribute), "{line}");
    }
    let cookie = line["set-cookie: ".len()..].split(';').next().unwrap();
    let cookie = format!("Cookie: other=1; {cookie}");
    let off = "{\"enabled\": false}";
    let put = |headers: &[&str]| exposed.ask("PUT", "/api/v1/overlay", headers, off).unwrap().status;
    assert_eq!(exposed.ask("GET", "/frame.jpg", &[&cookie], "").unwrap().status, 200);
    assert_eq!((put(&[&cookie, &origin]), put(&[&cookie]), put(&[&cookie, foreign[0]])), (204, 403, 403));
    assert_eq!(exposed.ask("DELETE", "/api/v1/session", &[&cookie, &origin], "").unwrap().status, 204);
    assert_eq!(put(&[&cookie, &origin]), 401);
    let lines = exposed.audit().unwrap();
    let has = |who: &str, what: &str, result: &str| {
        lines.iter().any(|line| line["who"] == who && line["what"] == what && line["result"] == result)
    };
    assert!(has("operator", "log in", "done") && has("unknown", "log in", "invalid_token"), "{lines:?}");
    assert!(has("operator", "PUT /api/v1/overlay enabled=false", "204"), "{lines:?}");
}

#[test]
fn certificates_are_made_and_renewed_and_old_tls_is_refused() {
    let exposed = Exposed::new(SINKS).unwrap();
    let _running = exposed.start().unwrap();
    let address = format!("127.0.0.1:{}", exposed.port);
    let openssl = |arguments: &[&str]| {
        let mut command = Command::new("openssl");
        command
            .args(["s_client", "-connect", &address, "-servername", NAME])
            .args(arguments)
            .stdin(Stdio::null());
        let output = command.output().unwrap();
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };
    assert!(openssl(&["-tls1_3"]).contains("TLSv1.3") && openssl(&["-tls1_2"]).contains("TLSv1.2"));
    let old = openssl(&["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"]);
    assert!(old.contains("alert protocol version") || old.contains("Cipher is (NONE)"), "{old}");
    let text = Command::new("openssl")
        .args(["x509", "-noout", "-text", "-fingerprint", "-sha256", "-in"])
        .arg(exposed.cart.path("cert.pem"))
        .output()
        .unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    for part in
        ["DNS:cart7.example.org", "IP Address:127.0.0.1", "prime256v1", "TLS Web Server Authentication"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(exposed.certify(&[]).unwrap_err().to_string().contains("--replace"));
    let renewed = exposed.certify(&["--replace", "--days", "30"]).unwrap();
    // `curl` trusts the new one only.
    wait_for("the new certificate", || exposed.with(0, "GET", "/status", "").ok()).unwrap();
    let served = openssl(&["-showcerts"]);
    let begin = served.find("-----BEGIN CERTIFICATE-----").unwrap();
    let end = served.find("-----END CERTIFICATE-----").unwrap();
    let pem = std::fs::read_to_string(exposed.cart.path("cert.pem")).unwrap();
    assert_eq!(served[begin..end].replace('\r', "").trim(), pem[..pem.find("-----END").unwrap()].trim());
    assert_eq!((renewed.len(), renewed.matches(':').count()), (95, 31));
}

#[test]
fn what_keeps_it_from_starting_is_said() {
    let exposed = Exposed::new(SINKS).unwrap();
    let said = || exposed.cart.refused().unwrap();
    let tokens = exposed.cart.path("tokens.json");
    let text = std::fs::read(&tokens).unwrap();
    std::fs::write(&tokens, "{").unwrap();
    assert!(said().contains("is damaged"), "{}", said());
    std::fs::remove_file(&tokens).unwrap();
    assert!(said().contains("http.tokens") && said().contains("token add"), "{}", said());
    std::fs::write(&tokens, text).unwrap();
    assert!(said().contains("chmod o="), "{}", said());
    std::fs::remove_file(&tokens).unwrap();
    exposed.add_token("viewer", "view").unwrap();
    let checked = exposed.cart.run("check").unwrap();
    assert!(checked.success && checked.stdout.contains("certificate with SHA-256"), "{}", checked.stderr);
    std::fs::remove_file(exposed.cart.path("cert.pem")).unwrap();
    assert!(said().contains("certificate = "), "{}", said());
    let open = Cart::new(
        "source = { kind = \"phantom\" }\nmodel = { bundle = \"BUNDLE\" }\nsinks = [{ kind = \"null\" }]\n\
         http = { listen = \"0.0.0.0:0\" }",
    );
    let said = open.unwrap().refused().unwrap();
    assert!(said.contains("http.listen") && said.contains("nervelightd cert"), "{said}");
}

/// Against the document of a running daemon, with another program's idea of what may be sent.
#[test]
fn schemathesis_finds_nothing() {
    let program = root().join(".venv/bin/schemathesis");
    if !program.exists() {
        println!("skipped: no schemathesis; ./setup.sh test installs it");
        return;
    }
    let exposed = Exposed::new(SINKS).unwrap();
    // A schema cannot say how long is too long for this cart, nor that 1.0 is no count.
    let statuses = "[checks]\npositive_data_acceptance.expected-statuses = [\"2xx\", \"401\", \"403\", \"404\", \"409\", \
                    \"413\", \"422\", \"429\", \"503\"]\nnegative_data_rejection.expected-statuses = [\"400\", \"401\", \"403\", \
                    \"404\", \"405\", \"409\", \"413\", \"415\", \"422\", \"429\", \"503\"]\n";
    std::fs::write(exposed.cart.path("schemathesis.toml"), statuses).unwrap();
    let running = exposed.start().unwrap();
    let output = Command::new(program)
        .current_dir(exposed.cart.dir.path())
        .args([
            "run",
            "--no-color",
            "--seed",
            "1",
            "--max-examples",
            "10",
            "--workers",
            "1",
            "--request-timeout",
            "10",
        ])
        .arg(format!("--tls-verify={}", exposed.cart.path("cert.pem").display()))
        // Answers that do not end; offers that it cannot write (tests/webrtc.rs has them).
        .args([
            "--exclude-path",
            "/stream.mjpg",
            "--exclude-path",
            "/api/v1/events",
            "--exclude-path",
            "/whep",
            // Pieces of any bytes, which it cannot write either (tests/push has them).
            "--exclude-path",
            "/api/v1/uploads/{id}",
        ])
        // Who guesses tokens is soon told to wait, which it takes for a mistake; the test above is about that.
        .args(["--exclude-checks", "ignored_auth"])
        .args(["--header", &format!("Authorization: Bearer {}", exposed.tokens[2])])
        .arg(format!("https://127.0.0.1:{}/api/v1/openapi.json", exposed.port))
        .output()
        .unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    assert_eq!(exposed.with(0, "GET", "/status", "").unwrap().status, 200, "{said}");
    let ended = running.terminate().unwrap();
    assert!(ended.success && !ended.stderr.contains("panicked"), "{}", ended.stderr);
}
