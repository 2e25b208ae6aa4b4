//! The OpenAPI document, which is made of the routes, and the roles that it asks for.

use std::collections::BTreeMap;

use axum::http::Method;
use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;

use crate::web::auth::caller::Role;
use crate::web::auth::gate::COOKIE;

const METHODS: [&str; 8] = ["get", "head", "post", "put", "patch", "delete", "options", "trace"];

/// The finished document.
pub struct Document {
    text: String,
    /// What each path needs, by method in upper case.
    needs: BTreeMap<String, BTreeMap<String, Need>>,
}

/// What a request needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// A caller with this role at least.
    Role {
        /// The role.
        role: Role,
        /// Whether it is written down who asked: what changes something is, unless the route says `"x-audit": false`
        /// because it is a part of what another one has announced. Who looks is not.
        audited: bool,
    },
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
            let known = known.filter_map(|(method, operation)| {
                Some((method.to_uppercase(), complete(method, operation)?))
            });
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
        let others = || Need::Other(methods.keys().map(String::as_str).collect::<Vec<_>>().join(", "));
        methods.get(method.as_str()).or(as_get).cloned().unwrap_or_else(others)
    }
}

/// Completes an operation; returns what it needs. One that does not say is left out.
fn complete(method: &str, operation: &mut Value) -> Option<Need> {
    operation["responses"]["default"] = json!({ "$ref": "#/components/responses/Problem" });
    let is_change = !["get", "head", "options"].contains(&method)
        && operation.get("x-audit") != Some(&Value::Bool(false));
    let security = operation.get_mut("security")?.as_array_mut()?;
    let Some(role) = security.first()?.get("token") else {
        let is_open = security.first()?.as_object().is_some_and(Map::is_empty);
        return is_open.then_some(Need::Nothing);
    };
    let role = Role::named(role.get(0)?.as_str()?)?;
    security.push(json!({ "session": [role] }));
    Some(Need::Role { role, audited: is_change && role > Role::View })
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
        let committed: Value =
            serde_json::from_str(&std::fs::read_to_string(&path).unwrap_or_default()).unwrap_or_default();
        let current: Value = serde_json::from_str(document.text()).unwrap();
        let renew = "docs/openapi.json is not what the routes say. Renew it: NERVELIGHT_RENEW=1 cargo test -p nervelightd \
                     the_committed_document_is_current";
        assert!(committed == current, "{renew}");
    }

    #[test]
    fn every_route_has_a_role_but_the_pages_files_and_the_log_in() {
        let open: Vec<_> = document()
            .needs
            .iter()
            .flat_map(|(path, methods)| methods.iter().map(move |(method, need)| (path, method, need)))
            .filter(|(_, _, need)| **need == Need::Nothing)
            .map(|(path, method, _)| format!("{method} {path}"))
            .collect();
        assert_eq!(
            open,
            [
                "GET /",
                "GET /api/v1/openapi.json",
                "POST /api/v1/session",
                "GET /harvest.js",
                "GET /login.js",
                "GET /models.js",
                "GET /page.css",
                "GET /page.js",
                "GET /shadow",
                "GET /shadow.js",
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
        let role = |role, audited| Need::Role { role, audited };
        assert_eq!(document.need(&Method::PUT, "/api/v1/overlay"), role(Role::Operate, true));
        assert_eq!(document.need(&Method::HEAD, "/status"), role(Role::View, false));
        assert_eq!(document.need(&Method::POST, "/whep"), role(Role::View, false));
        assert_eq!(document.need(&Method::GET, "/page.js"), Need::Nothing);
        assert_eq!(document.need(&Method::DELETE, "/whep"), Need::Other("OPTIONS, POST".into()));
        assert_eq!(document.need(&Method::GET, "/hidden"), Need::Other(String::new()));
        let silent = |security: Value| complete("get", &mut json!({ "responses": {}, "security": security }));
        assert_eq!(silent(json!([{ "token": ["view"] }])), Some(role(Role::View, false)));
        let mut part = json!({ "responses": {}, "x-audit": false, "security": [{ "token": ["deploy"] }] });
        assert_eq!(complete("patch", &mut part), Some(role(Role::Deploy, false)));
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
