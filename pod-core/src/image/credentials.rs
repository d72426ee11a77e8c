//! Selects the user name and password for a registry: imagePullSecrets first, then the files that podman and docker
//! write (containers-auth.json(5), Docker's config.json) and the credential helpers that these name.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;

use super::{Credential, DEFAULT_REGISTRY, Error, Reference};

/// Credentials that are presented to a registry.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Login {
    Password {
        username: String,
        password: String,
    },
    /// OAuth2 refresh token.
    IdentityToken(String),
}

/// Written by hand so that no secret gets into a log.
impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Password { username, .. } => write!(f, "{username}:***"),
            Self::IdentityToken(_) => f.write_str("identity token"),
        }
    }
}

/// Returns every login for a registry in order of precedence, and notes on sources that could not be read.
pub(super) fn logins(
    reference: &Reference,
    given: &[Credential],
    files: &[PathBuf],
) -> Result<(Vec<Login>, Vec<String>), Error> {
    let mut given: Vec<(usize, Login)> = given
        .iter()
        .filter_map(|c| {
            let key = normalize(&c.registry);
            let login = Login::Password { username: c.username.clone(), password: c.password.clone() };
            matches(&key, reference).then_some((key.len(), login))
        })
        .collect();
    // Like the kubelet: the longest key first, and all matching keys are tried.
    given.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
    let mut found: Vec<Login> = given.into_iter().map(|(_, login)| login).collect();
    let mut notes = Vec::new();
    for file in files {
        if let Some(login) = from_file(file, reference, &mut notes)? {
            found.push(login);
            break;
        }
    }
    found.dedup();
    Ok((found, notes))
}

/// Returns the files that may hold this user's credentials, in order of precedence. `$REGISTRY_AUTH_FILE` replaces all
/// others.
pub(super) fn auth_files(env: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let env = |name: &str| env(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    if let Some(file) = env("REGISTRY_AUTH_FILE") {
        return vec![file];
    }
    let run = env("XDG_RUNTIME_DIR")
        .unwrap_or_else(|| PathBuf::from(format!("/run/containers/{}", rustix::process::getuid().as_raw())));
    // Without XDG_RUNTIME_DIR podman's file is /run/containers/UID itself.
    let mut files = vec![match env("XDG_RUNTIME_DIR") {
        Some(_) => run.join("containers/auth.json"),
        None => run.join("auth.json"),
    }];
    if let Some(config) = env("XDG_CONFIG_HOME").or_else(|| Some(env("HOME")?.join(".config"))) {
        files.push(config.join("containers/auth.json"));
    }
    if let Some(docker) = env("DOCKER_CONFIG").or_else(|| Some(env("HOME")?.join(".docker"))) {
        files.push(docker.join("config.json"));
    }
    files
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AuthFile {
    auths: BTreeMap<String, Option<AuthEntry>>,
    #[serde(rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
    #[serde(rename = "credsStore")]
    store: String,
}

/// The entry of a file or a Secret for one registry.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct AuthEntry {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
}

fn from_file(path: &Path, reference: &Reference, notes: &mut Vec<String>) -> Result<Option<Login>, Error> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(e) => return Err(Error::AuthFile { path: path.to_owned(), reason: e.to_string() }),
    };
    let mut ask = |helper: &str, server: &str| ask_helper(helper, server, notes);
    from_bytes(&bytes, reference, &mut ask)
        .map_err(|error| Error::AuthFile { path: path.to_owned(), reason: error.to_string() })
}

/// Why credentials cannot be read. No message contains a value, because it may be a password.
#[derive(Debug, thiserror::Error)]
pub(super) enum CredentialsError {
    /// Not JSON.
    #[error(transparent)]
    NotJson(serde_json::Error),
    /// A value of the wrong type, in a file.
    #[error("a value of the wrong kind at line {line} column {column}")]
    WrongKindAt { line: usize, column: usize },
    /// A value of the wrong type.
    #[error("a value of the wrong kind")]
    WrongKind,
    /// `auth` cannot be decoded.
    #[error("its auth is not base64")]
    AuthNotBase64,
    /// `auth` is not UTF-8.
    #[error("its auth is not text")]
    AuthNotText,
    /// `auth` has no colon.
    #[error("its auth is not user:password in base64")]
    AuthNotPair,
    /// The entry of one server is invalid.
    #[error("auths[{server:?}]: {error}")]
    Entry {
        /// The key of the entry.
        server: String,
        /// What is wrong with it.
        error: Box<CredentialsError>,
    },
    /// A Secret without the key that its type has.
    #[error("it has no key {0}")]
    NoKey(&'static str),
    /// A Secret whose value is not JSON.
    #[error("{key} is not JSON: {error}")]
    KeyNotJson {
        /// The key.
        key: &'static str,
        /// What is wrong with its value.
        error: serde_json::Error,
    },
    /// A Secret without `auths`.
    #[error("it has no auths")]
    NoAuths,
    /// `auths` of another type.
    #[error("auths is not an object")]
    AuthsNotObject,
    /// A Secret of another type.
    #[error("its type is {0:?}, not kubernetes.io/dockerconfigjson or kubernetes.io/dockercfg")]
    SecretType(String),
}

impl CredentialsError {
    /// Returns the error of the entry of `server`.
    pub(super) fn of(self, server: &str) -> Self {
        Self::Entry { server: server.to_owned(), error: Box::new(self) }
    }
}

/// Returns the logins that a credentials file has for an image; `ask` asks a credential helper for a server.
pub(super) fn from_bytes(
    bytes: &[u8],
    reference: &Reference,
    ask: &mut dyn FnMut(&str, &str) -> Option<Login>,
) -> Result<Option<Login>, CredentialsError> {
    if bytes.trim_ascii().is_empty() {
        return Ok(None);
    }
    let file: AuthFile = serde_json::from_slice(bytes).map_err(|e| match e.classify() {
        // serde quotes the value, which may be a password, so its message is not used.
        serde_json::error::Category::Data => {
            CredentialsError::WrongKindAt { line: e.line(), column: e.column() }
        }
        _ => CredentialsError::NotJson(e),
    })?;
    let best = |keys: &mut dyn Iterator<Item = &String>| -> Option<String> {
        keys.filter(|k| matches(&normalize(k), reference)).max_by_key(|k| normalize(k).len()).cloned()
    };
    if let Some(key) = best(&mut file.helpers.keys()) {
        let helper = file.helpers.get(&key).map(String::as_str).unwrap_or_default();
        if let Some(login) = ask(helper, &key) {
            return Ok(Some(login));
        }
    }
    let written = |k: &&String| {
        file.auths
            .get(*k)
            .and_then(Option::as_ref)
            .is_some_and(|a| a.has_password() || !a.identitytoken.is_empty())
    };
    if let Some(key) = best(&mut file.auths.keys().filter(written)) {
        let entry = file.auths.get(&key).and_then(Option::as_ref);
        return entry.map(AuthEntry::login).transpose().map_err(|error| error.of(&key));
    }
    if file.store.is_empty() {
        return Ok(None);
    }
    let server = match reference.registry() {
        DEFAULT_REGISTRY => "https://index.docker.io/v1/",
        other => other,
    };
    Ok(ask(&file.store, server))
}

impl AuthEntry {
    /// Returns whether the entry has a password. An empty entry or one with an identity token alone has none.
    pub(super) fn has_password(&self) -> bool {
        !self.auth.is_empty() || !self.username.is_empty()
    }

    /// Returns user name and password: `auth` is base64 of `user:password` and takes precedence, as with docker and the
    /// kubelet.
    pub(super) fn password(&self) -> Result<(String, String), CredentialsError> {
        if self.auth.is_empty() {
            return Ok((self.username.clone(), self.password.clone()));
        }
        let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
        let bytes = GeneralPurpose::new(&base64::alphabet::STANDARD, config)
            .decode(self.auth.trim())
            .map_err(|_| CredentialsError::AuthNotBase64)?;
        let text = String::from_utf8(bytes).map_err(|_| CredentialsError::AuthNotText)?;
        // Docker pads with NULs.
        let (username, password) =
            text.trim_end_matches('\0').split_once(':').ok_or(CredentialsError::AuthNotPair)?;
        Ok((username.to_owned(), password.to_owned()))
    }

    fn login(&self) -> Result<Login, CredentialsError> {
        if !self.identitytoken.is_empty() {
            return Ok(Login::IdentityToken(self.identitytoken.clone()));
        }
        self.password().map(|(username, password)| Login::Password { username, password })
    }
}

#[derive(Deserialize)]
struct HelperAnswer {
    #[serde(rename = "Username", default)]
    username: String,
    #[serde(rename = "Secret", default)]
    secret: String,
}

/// Runs a credential helper by the protocol of docker-credential-helpers: `docker-credential-NAME get`, the server on
/// stdin.
fn ask_helper(helper: &str, server: &str, notes: &mut Vec<String>) -> Option<Login> {
    let program = format!("docker-credential-{helper}");
    if helper.contains('/') {
        notes.push(format!("credential helper {program:?} is no name of a program in $PATH"));
        return None;
    }
    let answer = (|| {
        let mut child = Command::new(&program)
            .arg("get")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // A write error is ignored: a helper may answer without reading its input.
            let _ = stdin.write_all(server.as_bytes());
        }
        child.wait_with_output()
    })();
    let output = match answer {
        Ok(output) => output,
        Err(error) => {
            notes.push(format!("credential helper {program} cannot be run: {error}"));
            return None;
        }
    };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stdout);
        if !said.contains("credentials not found") {
            notes.push(format!("credential helper {program} failed ({}): {}", output.status, said.trim()));
        }
        return None;
    }
    match serde_json::from_slice::<HelperAnswer>(&output.stdout) {
        Ok(answer) if answer.username == "<token>" => Some(Login::IdentityToken(answer.secret)),
        Ok(answer) if answer.username.is_empty() && answer.secret.is_empty() => None,
        Ok(answer) => Some(Login::Password { username: answer.username, password: answer.secret }),
        Err(error) => {
            notes.push(format!("credential helper {program} gave no answer that can be read: {error}"));
            None
        }
    }
}

/// Returns `host[:port][/path]` of a key, which may be written as a URL.
fn normalize(key: &str) -> String {
    let key = key.trim();
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let key = key.trim_end_matches('/');
    let key = key.strip_suffix("/v1").or_else(|| key.strip_suffix("/v2")).unwrap_or(key);
    let (host, path) = match key.split_once('/') {
        Some((host, path)) => (host, Some(path)),
        None => (key, None),
    };
    let host = match host.to_lowercase().as_str() {
        "index.docker.io" | "registry-1.docker.io" => DEFAULT_REGISTRY.to_owned(),
        other => other.to_owned(),
    };
    match path {
        Some(path) => format!("{host}/{path}"),
        None => host,
    }
}

/// Returns whether a normalised key covers an image: the same registry and a prefix of whole path components. In the
/// host, `*` matches the text between two dots, as in the kubelet.
fn matches(key: &str, reference: &Reference) -> bool {
    let (host, path) = key.split_once('/').unwrap_or((key, ""));
    let repository = reference.repository();
    let path_matches = path.is_empty()
        || repository.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    path_matches && host_matches(host, reference.registry())
}

fn host_matches(pattern: &str, host: &str) -> bool {
    if !pattern.contains('*') {
        return pattern == host;
    }
    let (pattern, pattern_port) = pattern.rsplit_once(':').map_or((pattern, None), |(h, p)| (h, Some(p)));
    let (host, port) = host.rsplit_once(':').map_or((host, None), |(h, p)| (h, Some(p)));
    let (patterns, labels): (Vec<&str>, Vec<&str>) =
        (pattern.split('.').collect(), host.split('.').collect());
    pattern_port == port
        && patterns.len() == labels.len()
        && patterns.iter().zip(&labels).all(|(p, l)| glob(p.as_bytes(), l.as_bytes()))
}

fn glob(mut pattern: &[u8], mut text: &[u8]) -> bool {
    // The last `*` and the text that it has not matched yet. Only the last one ever has to match more, so no pattern is
    // slow.
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern.split_first(), text.split_first()) {
            (Some((b'*', rest)), _) => {
                star = Some((rest, text));
                pattern = rest;
            }
            (Some((p, rest)), Some((t, more))) if p == t => (pattern, text) = (rest, more),
            (None, None) => return true,
            _ => match star.and_then(|(rest, taken)| Some((rest, taken.split_first()?.1))) {
                Some((rest, taken)) => {
                    star = Some((rest, taken));
                    (pattern, text) = (rest, taken);
                }
                None => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use proptest::prelude::*;

    use super::*;

    fn password(username: &str, password: &str) -> Login {
        Login::Password { username: username.to_owned(), password: password.to_owned() }
    }

    fn lookup(json: &str, image: &str) -> Result<Option<Login>, Error> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("auth.json");
        std::fs::write(&file, json).unwrap();
        let (found, _) = logins(&image.parse().unwrap(), &[], &[file])?;
        Ok(found.into_iter().next())
    }

    #[test]
    fn the_longest_prefix_of_whole_path_parts_wins() {
        // a:1, b:2, c:3
        let json = r#"{"auths": {
            "quay.io": {"auth": "YTox"}, "quay.io/team": {"auth": "YjoyAAA="}, "quay.io/team/app": {"auth": "Yzoz"}}}"#;
        assert_eq!(lookup(json, "quay.io/team/app:1").unwrap(), Some(password("c", "3")));
        assert_eq!(lookup(json, "quay.io/team/other").unwrap(), Some(password("b", "2")));
        assert_eq!(lookup(json, "quay.io/team/application").unwrap(), Some(password("b", "2")));
        assert_eq!(lookup(json, "quay.io/teams/app").unwrap(), Some(password("a", "1")));
        assert_eq!(lookup(json, "ghcr.io/team/app").unwrap(), None);
    }

    #[test]
    fn docker_hub_is_found_under_all_its_names() {
        for key in [
            "https://index.docker.io/v1/",
            "docker.io",
            "index.docker.io",
            "https://registry-1.docker.io/v2/",
        ] {
            let json = format!(r#"{{"auths": {{"{key}": {{"auth": "YTox"}}, "docker.io/x": null}}}}"#);
            assert_eq!(lookup(&json, "busybox").unwrap(), Some(password("a", "1")), "{key}");
        }
    }

    #[test]
    fn passwords_may_contain_colons_and_identity_tokens_win() {
        let json = r#"{"auths": {"a.io": {"auth": "dTpwOnc="}, "b.io": {"auth": "dTpwOnc=", "identitytoken": "t"},
            "c.io": {"username": "u", "password": "p"}, "d.io": {}}}"#;
        assert_eq!(lookup(json, "a.io/x").unwrap(), Some(password("u", "p:w")));
        assert_eq!(lookup(json, "b.io/x").unwrap(), Some(Login::IdentityToken("t".to_owned())));
        assert_eq!(lookup(json, "c.io/x").unwrap(), Some(password("u", "p")));
        assert_eq!(lookup(json, "d.io/x").unwrap(), None);
    }

    #[test]
    fn a_damaged_file_is_named_and_its_secrets_are_not() {
        for json in
            ["{", r#"{"auths": {"a.io": {"auth": "c2VjcmV0"}}}"#, r#"{"auths": {"a.io": {"auth": "%%"}}}"#]
        {
            let message = lookup(json, "a.io/x").unwrap_err().to_string();
            assert!(message.contains("auth.json") && !message.contains("secret"), "{message}");
        }
        assert_eq!(lookup("", "a.io/x").unwrap(), None);
        assert_eq!(format!("{:?}", password("me", "hidden")), "me:***");
    }

    #[test]
    fn pull_secrets_come_first_and_all_that_fit_are_tried() {
        let given = |registry: &str, name: &str| Credential {
            registry: registry.to_owned(),
            username: name.to_owned(),
            password: String::new(),
        };
        let all = [
            given("quay.io", "host"),
            given("https://quay.io/v1/", "url"),
            given("*.io", "glob"),
            given("quay.io/team", "team"),
            given("quay.io:443", "port"),
            given("*.quay.io", "sub"),
            given("ghcr.io", "other"),
        ];
        let (found, _) = logins(&"quay.io/team/app".parse().unwrap(), &all, &[]).unwrap();
        let names: Vec<String> = found.iter().map(|l| format!("{l:?}")).collect();
        assert_eq!(names, ["team:***", "host:***", "url:***", "glob:***"]);
    }

    #[test]
    fn helpers_are_asked_by_the_docker_protocol() {
        let dir = tempfile::tempdir().unwrap();
        let helper = dir.path().join("helper");
        let script = "#!/bin/sh\nread server\necho '{\"ServerURL\":\"x\",\"Username\":\"'$server'\",\"Secret\":\"s\"}'\n";
        std::fs::write(&helper, script).unwrap();
        std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
        // The name is appended to `docker-credential-`, so a path needs a folder of that name.
        let bin = dir.path().join("docker-credential-");
        std::fs::create_dir(&bin).unwrap();
        let name = format!("/../{}", "helper");
        let mut notes = Vec::new();
        let program = format!("{}{name}", bin.display());
        assert!(Path::new(&program).exists());
        // Run by absolute path through the same code, because a test cannot change its own PATH.
        let shown = program.strip_prefix("docker-credential-").unwrap_or(&program).to_owned();
        assert!(ask_helper(&shown, "quay.io", &mut notes).is_none());
        assert_eq!(notes.len(), 1, "what cannot be run is noted");
    }

    #[test]
    fn auth_files_follow_podman_and_docker() {
        let env = |pairs: &'static [(&str, &str)]| {
            auth_files(move |name| pairs.iter().find(|(k, _)| *k == name).map(|(_, v)| OsString::from(v)))
        };
        assert_eq!(env(&[("REGISTRY_AUTH_FILE", "/a"), ("HOME", "/h")]), [PathBuf::from("/a")]);
        let files = env(&[("XDG_RUNTIME_DIR", "/run/user/1"), ("HOME", "/h")]);
        let expected =
            ["/run/user/1/containers/auth.json", "/h/.config/containers/auth.json", "/h/.docker/config.json"];
        assert_eq!(files, expected.map(PathBuf::from));
        assert_eq!(
            env(&[("DOCKER_CONFIG", "/d"), ("XDG_RUNTIME_DIR", "/x")])[1],
            PathBuf::from("/d/config.json")
        );
    }

    proptest! {
        #[test]
        fn a_key_never_matches_another_registry(host in "[a-z]{1,5}\\.[a-z]{1,3}", other in "[a-z]{1,5}\\.[a-z]{1,3}", path in "[a-z]{1,4}") {
            prop_assume!(host != other);
            let reference: Reference = format!("{host}/{path}/x").parse().unwrap();
            let normalized = normalize(&format!("https://{host}/"));
            prop_assert!(matches(&normalized, &reference));
            let normalized = normalize(&other);
            prop_assert!(!matches(&normalized, &reference));
            let normalized = normalize(&format!("{host}/{path}"));
            prop_assert!(matches(&normalized, &reference));
        }
    }
}
