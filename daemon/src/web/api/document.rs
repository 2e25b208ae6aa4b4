//! The OpenAPI document, which is made of the routes, and the roles that it asks for.

use std::collections::BTreeMap;

use axum::http::Method;
use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;

use crate::web::auth::{COOKIE, Role};

const METHODS: [&str; 8] = ["get", "head", "post", "put", "patch", "delete", "options", "trace"];

/// The finished document.
pub struct Document {
    text: String,
    /// What each path needs, by method in upper case.
    needs: BTreeMap<String, BTreeMap<String, Option<Role>>>,
}

/// What a request needs.
#[derive(Debug, PartialEq, Eq)]
pub enum Need {
    /// A caller with this role at least.
    Role(Role),
    /// Nothing.
    Nothing,
    /// Another method: one of these.
    Other(String),
}

impl Document {
    /// Completes what the routes say of themselves: whoever logged in has a session in place of the token, and all are
    /// refused alike.
    pub fn new(routes: &OpenApi) -> Self {
        let mut document = serde_json::to_value(routes).unwrap_or_default();
        let mut needs = BTreeMap::new();
        let paths = document.get_mut("paths").and_then(Value::as_object_mut);
        for (path, item) in paths.into_iter().flatten() {
            let operations = item.as_object_mut().into_iter().flatten();
            let known = operations.filter(|(method, _)| METHODS.contains(&method.as_str()));
            let known =
                known.filter_map(|(method, operation)| Some((method.to_uppercase(), complete(operation)?)));
            needs.insert(path.clone(), known.collect());
        }
        add_components(&mut document);
        let text = serde_json::to_string_pretty(&document).unwrap_or_default();
        Self { text: text + "\n", needs }
    }

    /// The document as JSON.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What a request needs. What the document does not say is not allowed.
    pub fn need(&self, method: &Method, path: &str) -> Need {
        let Some(methods) = self.needs.get(path) else { return Need::Other(String::new()) };
        let as_get = (method == Method::HEAD).then(|| methods.get("GET")).flatten();
        match methods.get(method.as_str()).or(as_get) {
            Some(Some(role)) => Need::Role(*role),
            Some(None) => Need::Nothing,
            None => Need::Other(methods.keys().map(String::as_str).collect::<Vec<_>>().join(", ")),
        }
    }
}

/// Completes an operation; returns its least role, or none where it needs none. One that does not say is left out.
fn complete(operation: &mut Value) -> Option<Option<Role>> {
    operation["responses"]["default"] = json!({ "$ref": "#/components/responses/Problem" });
    let security = operation.get_mut("security")?.as_array_mut()?;
    let Some(role) = security.first()?.get("token") else {
        let is_open = security.first()?.as_object().is_some_and(Map::is_empty);
        return is_open.then_some(None);
    };
    let role = Role::named(role.get(0)?.as_str()?)?;
    security.push(json!({ "session": [role] }));
    Some(Some(role))
}

fn add_components(document: &mut Value) {
    document["components"]["securitySchemes"] = json!({
        "token": {
            "type": "http",
            "scheme": "bearer",
            "description": "A token of `nervelightd token add`, with one of the roles view, operate and deploy. \
                            On loopback nobody needs one.",
        },
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": COOKIE,
            "description": "What POST /api/v1/session gives for a token.",
        },
    });
    document["components"]["schemas"]["Problem"] = json!({
        "type": "object",
        "required": ["type", "title", "status", "code", "detail"],
        "properties": {
            "type": { "type": "string" },
            "title": { "type": "string", "description": "The status in words." },
            "status": { "type": "integer" },
            "code": { "type": "string", "description": "For programs: one word that stays." },
            "detail": { "type": "string", "description": "For people: what, and what to do." },
        },
    });
    document["components"]["responses"]["Problem"] = json!({
        "description": "It was not done.",
        "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
    });
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::path::Path;

    use super::*;
    use crate::web::api;

    fn document() -> Document {
        Document::new(api::router().get_openapi())
    }

    #[test]
    fn the_committed_document_is_current() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
        let document = document();
        if std::env::var_os("NERVELIGHT_RENEW").is_some() {
            std::fs::write(&path, document.text()).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        let renew = "docs/openapi.json is not what the routes say. Renew it: NERVELIGHT_RENEW=1 cargo test -p nervelightd \
                     the_committed_document_is_current";
        assert!(committed == document.text(), "{renew}");
    }

    #[test]
    fn every_route_has_a_role_but_the_pages_files_and_the_log_in() {
        let open: Vec<_> = document()
            .needs
            .iter()
            .flat_map(|(path, methods)| methods.iter().map(move |(method, role)| (path, method, role)))
            .filter(|(_, _, role)| role.is_none())
            .map(|(path, method, _)| format!("{method} {path}"))
            .collect();
        assert_eq!(
            open,
            [
                "GET /",
                "GET /api/v1/openapi.json",
                "POST /api/v1/session",
                "GET /login.js",
                "GET /page.css",
                "GET /page.js",
                "GET /webrtc.js"
            ]
        );
        let json: Value = serde_json::from_str(document().text()).unwrap();
        let mut names = HashSet::new();
        for (path, item) in json["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let known = document().needs[path].contains_key(&method.to_uppercase());
                assert!(
                    known,
                    "{method} {path} says no role: nobody is let in. Add security((\"token\" = [...]))"
                );
                let name = operation["operationId"].as_str().unwrap();
                assert!(names.insert(name.to_owned()), "{method} {path}: another route is named {name}, too");
            }
        }
    }

    #[test]
    fn what_the_document_does_not_say_is_not_allowed() {
        let document = document();
        assert_eq!(document.need(&Method::PUT, "/api/v1/overlay"), Need::Role(Role::Operate));
        assert_eq!(document.need(&Method::HEAD, "/status"), Need::Role(Role::View));
        assert_eq!(document.need(&Method::GET, "/page.js"), Need::Nothing);
        assert_eq!(document.need(&Method::DELETE, "/whep"), Need::Other("OPTIONS, POST".into()));
        assert_eq!(document.need(&Method::GET, "/hidden"), Need::Other(String::new()));
        let silent = |security: Value| complete(&mut json!({ "responses": {}, "security": security }));
        assert_eq!(silent(json!([{ "token": ["view"] }])), Some(Some(Role::View)));
        for nonsense in [
            json!(null),
            json!([]),
            json!([{ "token": [] }]),
            json!([{ "token": ["admin"] }]),
            json!([{ "x": [] }]),
        ] {
            assert_eq!(silent(nonsense.clone()), None, "{nonsense}");
        }
    }
}
