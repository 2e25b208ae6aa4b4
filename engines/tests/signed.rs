//! What a store of models accepts, and what it refuses: each with its own words, and before anything is unpacked.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use common::draft;
use minisign::KeyPair;
use nervelight_engines::Bundle;
use nervelight_engines::bundle::{DIGEST_MARK, PublicKey};
use nervelight_engines::digest::sha256;
use nervelight_engines::store::models::{Floor, Models, ModelsError};
use tempfile::TempDir;

/// Somebody who signs.
struct Signer {
    pair: KeyPair,
    public: PublicKey,
}

impl Signer {
    fn new(name: &str) -> Self {
        let pair = KeyPair::generate_unencrypted_keypair().unwrap();
        let public = PublicKey::new(name, &pair.pk.to_base64()).unwrap();
        Self { pair, public }
    }

    fn sign(&self, manifest: &[u8]) -> Vec<u8> {
        let comment = format!("{DIGEST_MARK}{}", sha256(manifest));
        let signed =
            minisign::sign(Some(&self.pair.pk), &self.pair.sk, Cursor::new(manifest), Some(&comment), None);
        signed.unwrap().to_string().into_bytes()
    }

    /// A signed tar of a tiny model.
    fn bundle(&self, folder: &Path, name: &str, serial: u64) -> PathBuf {
        let path = folder.join(name);
        let mut draft = draft("identity.onnx");
        draft.manifest().serial = Some(serial);
        draft.write_signed(&path, |manifest| Ok(self.sign(manifest))).unwrap();
        path
    }

    /// A tar of these files, with a signature of what `manifest` is.
    fn tar(&self, path: &Path, manifest: &str, more: impl FnOnce(&mut tar::Builder<fs::File>)) {
        let mut tar = tar::Builder::new(fs::File::create(path).unwrap());
        add(&mut tar, "manifest.json", manifest.as_bytes());
        add(&mut tar, "manifest.json.minisig", &self.sign(manifest.as_bytes()));
        more(&mut tar);
        tar.finish().unwrap();
    }
}

fn header(kind: tar::EntryType, size: usize) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size as u64);
    header.set_mode(0o644);
    header
}

fn add(tar: &mut tar::Builder<fs::File>, name: &str, bytes: &[u8]) {
    tar.append_data(&mut header(tar::EntryType::Regular, bytes.len()), name, bytes).unwrap();
}

/// A store whose one key is the signer's.
struct Cart {
    _folder: TempDir,
    /// Where bundles are made.
    desk: PathBuf,
    root: PathBuf,
    models: Models,
    lab: Signer,
}

impl Cart {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (desk, root) = (folder.path().join("desk"), folder.path().join("store"));
        fs::create_dir(&desk).unwrap();
        let models = Models::open(&root).unwrap();
        Self { _folder: folder, desk, root, models, lab: Signer::new("lab") }
    }

    fn stage(&mut self, path: &Path) -> Result<Bundle, ModelsError> {
        self.models.stage(path, std::slice::from_ref(&self.lab.public), true, Floor::Held)
    }

    /// Why the bundle is refused; the store is as it was.
    fn refusal(&mut self, path: &Path) -> (&'static str, String) {
        let before = everything(&self.root);
        let error = self.stage(path).unwrap_err();
        assert_eq!(everything(&self.root), before, "{error}");
        (error.code(), error.to_string())
    }

    fn manifest(&self) -> String {
        let (_dir, bundle) = common::bundle("identity.onnx");
        fs::read_to_string(bundle.path.join("manifest.json")).unwrap()
    }
}

/// Every name below a folder.
fn everything(folder: &Path) -> Vec<PathBuf> {
    let mut all = vec![];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(everything(&path));
        }
        all.push(path);
    }
    all.sort();
    all
}

#[test]
fn a_signed_bundle_is_stored_whole_as_tar_and_as_folder_and_says_who_signed_it() {
    let mut cart = Cart::new();
    for (name, serial) in [("a.tar", 1), ("b.bundle", 2)] {
        let path = cart.lab.bundle(&cart.desk, name, serial);
        let bundle = cart.stage(&path).unwrap();
        assert_eq!((bundle.signer.as_deref(), bundle.manifest.serial), (Some("lab"), Some(serial)));
        assert_eq!(bundle.path, cart.models.path(&bundle.digest));
        assert!(bundle.path.join("manifest.json.minisig").exists());
        // Once more: it is there.
        assert_eq!(cart.stage(&path).unwrap().digest, bundle.digest);
    }
    let stored = cart.models.list(&[cart.lab.public.clone()]).unwrap();
    assert_eq!(stored.len(), 2);
    assert!(stored.iter().all(|s| s.signer.as_deref() == Some("lab") && s.fault.is_none() && s.bytes > 1000));
    assert!(fs::read_dir(cart.root.join("staging")).unwrap().next().is_none());
    // A tar of the folder, whatever its order, is the bundle too.
    let folder = cart.lab.bundle(&cart.desk, "c.bundle", 3);
    let path = cart.desk.join("c.tar");
    let mut tar = tar::Builder::new(fs::File::create(&path).unwrap());
    tar.append_dir_all("c.bundle", &folder).unwrap();
    tar.into_inner().unwrap();
    assert_eq!(cart.stage(&path).unwrap().manifest.serial, Some(3));
}

#[test]
fn a_damaged_stored_bundle_is_replaced_when_it_comes_again() {
    let mut cart = Cart::new();
    let path = cart.lab.bundle(&cart.desk, "a.tar", 1);
    let bundle = cart.stage(&path).unwrap();
    fs::remove_file(bundle.path.join("fp32.onnx")).unwrap();
    cart.models.bundle(&bundle.digest, &[]).unwrap_err();
    cart.stage(&path).unwrap();
    cart.models.bundle(&bundle.digest, &[]).unwrap();
}

#[test]
fn unsigned_is_refused() {
    let mut cart = Cart::new();
    let path = cart.desk.join("a.tar");
    draft("identity.onnx").write(&path).unwrap();
    let (code, said) = cart.refusal(&path);
    assert!(code == "unsigned" && said.contains("is not signed"), "{said}");
    // Where no signature is required it is accepted.
    cart.models.stage(&path, &[], false, Floor::Held).unwrap();
}

#[test]
fn a_wrong_key_is_refused() {
    let mut cart = Cart::new();
    let path = Signer::new("lab").bundle(&cart.desk, "a.tar", 1);
    let (code, said) = cart.refusal(&path);
    assert!(
        code == "unknown_key" && said.contains("signed by none of the keys that are trusted here (lab)"),
        "{said}"
    );
    let bundle =
        cart.models.stage(&path, std::slice::from_ref(&cart.lab.public), false, Floor::Held).unwrap();
    assert_eq!(bundle.signer, None);
}

#[test]
fn damage_after_signing_is_refused_whatever_was_damaged() {
    let mut cart = Cart::new();
    let folder = cart.lab.bundle(&cart.desk, "a.bundle", 1);
    let files =
        ["fp32.onnx", "golden/0.crop.png", "golden/0.map.png", "manifest.json", "manifest.json.minisig"];
    for file in files {
        let path = folder.join(file);
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        // In the manifest a digit, so that it stays JSON; in the signature one of its base64.
        let at = good.iter().position(|b| b.is_ascii_digit()).filter(|_| file == "manifest.json");
        let at = at.unwrap_or(good.len() / 2);
        bad[at] = if bad[at] == b'2' { b'3' } else { b'2' };
        fs::write(&path, bad).unwrap();
        let (code, said) = cart.refusal(&folder);
        let expected = if file.starts_with("manifest") { "bad_signature" } else { "damaged" };
        assert_eq!(code, expected, "{file}: {said}");
        assert!(said.contains(file), "{said}");
        // As a tar.
        let packed = cart.desk.join("packed.tar");
        let mut tar = tar::Builder::new(fs::File::create(&packed).unwrap());
        tar.append_dir_all("", &folder).unwrap();
        tar.into_inner().unwrap();
        assert_eq!(cart.refusal(&packed).0, expected, "{file}");
        fs::write(&path, good).unwrap();
    }
    // A signature of somebody else's key that is damaged is not accepted as unknown either.
    cart.stage(&folder).unwrap();
    fs::write(folder.join("manifest.json.minisig"), "untrusted comment: none\nRW\n").unwrap();
    assert_eq!(cart.refusal(&folder).0, "bad_signature");
}

#[test]
fn a_signature_of_another_bundle_is_refused_and_called_that() {
    let mut cart = Cart::new();
    let [a, b] =
        [("a.bundle", 1), ("b.bundle", 2)].map(|(name, serial)| cart.lab.bundle(&cart.desk, name, serial));
    fs::copy(a.join("manifest.json.minisig"), b.join("manifest.json.minisig")).unwrap();
    let (code, said) = cart.refusal(&b);
    assert!(code == "bad_signature" && said.contains("the signature is another bundle's"), "{said}");
}

#[test]
fn an_old_serial_is_refused_and_stored_bundles_can_still_be_chosen() {
    let mut cart = Cart::new();
    let old = cart.lab.bundle(&cart.desk, "old.tar", 7);
    let new = cart.lab.bundle(&cart.desk, "new.tar", 8);
    let old_digest = cart.stage(&old).unwrap().digest;
    cart.models.use_stored(&old_digest).unwrap();
    let digest = cart.stage(&new).unwrap().digest;
    cart.models.begin_probation(&digest, 1).unwrap();
    // On probation it may still prove worse: the floor is as it was.
    cart.stage(&old).unwrap();
    cart.models.keep().unwrap();
    let (code, said) = cart.refusal(&old);
    assert!(
        code == "old_serial" && said.contains("has serial 7, and this store accepts none under 8"),
        "{said}"
    );
    let none = cart.desk.join("none.tar");
    draft("identity.onnx").write_signed(&none, |manifest| Ok(cart.lab.sign(manifest))).unwrap();
    assert!(cart.refusal(&none).1.contains("has no serial, and this store"));
    assert_eq!(cart.models.use_stored(&old_digest[..8]).unwrap(), old_digest);
    assert_eq!(cart.models.state().floor, 8);
    cart.models.stage(&none, &[], false, Floor::Waived).unwrap();
}

#[test]
fn a_newer_schema_and_another_geometry_are_refused() {
    let mut cart = Cart::new();
    let path = cart.desk.join("a.tar");
    let good = cart.manifest();
    for (from, to, code) in [
        ("\"schema\": 1", "\"schema\": 2", "other_schema"),
        ("\"width\": 576", "\"width\": 512", "other_geometry"),
    ] {
        assert!(good.contains(from));
        cart.lab.tar(&path, &good.replace(from, to), |_| {});
        assert_eq!(cart.refusal(&path).0, code);
    }
}

#[test]
fn what_tars_of_strangers_do_is_refused_before_anything_is_unpacked() {
    let mut cart = Cart::new();
    let path = cart.desk.join("a.tar");
    let manifest = cart.manifest();
    let raw = |tar: &mut tar::Builder<fs::File>, name: &[u8]| {
        let mut header = header(tar::EntryType::Regular, 1);
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_cksum();
        tar.append(&header, &b"a"[..]).unwrap();
    };
    let link = |tar: &mut tar::Builder<fs::File>, kind| {
        tar.append_link(&mut header(kind, 0), "fp32.onnx", "/etc/passwd").unwrap();
    };
    type Fill<'a> = Box<dyn FnOnce(&mut tar::Builder<fs::File>) + 'a>;
    let cases: Vec<(Fill, &str)> = vec![
        (Box::new(|tar| raw(tar, b"../a")), "leaves it"),
        (Box::new(|tar| raw(tar, b"golden/../../a")), "leaves it"),
        (Box::new(|tar| raw(tar, b"/tmp/a")), "leaves it"),
        (Box::new(|tar| link(tar, tar::EntryType::Symlink)), "\"fp32.onnx\" is a link"),
        (Box::new(|tar| link(tar, tar::EntryType::Link)), "\"fp32.onnx\" is a link"),
        (Box::new(|tar| link(tar, tar::EntryType::Fifo)), "no regular file"),
        (
            Box::new(|tar| {
                // A sparse file: a terabyte of nothing.
                let mut header = header(tar::EntryType::GNUSparse, 0);
                header.as_old_mut().name[..9].copy_from_slice(b"fp32.onnx");
                let gnu = header.as_gnu_mut().unwrap();
                gnu.set_real_size(1 << 40);
                header.set_cksum();
                tar.append(&header, &b""[..]).unwrap();
            }),
            "sparse",
        ),
        // More than the manifest says that there is.
        (Box::new(|tar| add(tar, "fp32.onnx", &vec![0; 3 << 20])), "holds more than"),
        (Box::new(|tar| (0..10_001).for_each(|i| add(tar, &format!("{i}"), b""))), "more than 10000 entries"),
        (Box::new(|tar| add(tar, &"n".repeat(5000), b"")), "name takes 500"),
        (Box::new(|tar| add(tar, &"d/".repeat(20), b"")), "in more than 8 others"),
        (Box::new(|tar| (0..2).for_each(|_| add(tar, "fp32.onnx", b"a"))), "is there twice"),
        (Box::new(|tar| add(tar, "manifest.json", b"{}")), "is there twice"),
    ];
    for (fill, expected) in cases {
        cart.lab.tar(&path, &manifest, fill);
        let (code, said) = cart.refusal(&path);
        assert!(code == "bad_archive" && said.contains(expected), "{expected}: {said}");
        // The signature comes first: the same of a stranger is called that, and nothing else of it is looked at.
        let stranger = Signer::new("stranger");
        let other = cart.desk.join("b.tar");
        fs::copy(&path, &other).unwrap();
        stranger.tar(&other, &manifest, |tar| raw(tar, b"../a"));
        assert_eq!(cart.refusal(&other).0, "unknown_key");
    }
    assert!(!cart.root.join("a").exists() && !cart.desk.join("a").exists());
}

#[test]
fn a_manifest_that_promises_too_much_is_refused() {
    let mut cart = Cart::new();
    let path = cart.desk.join("a.tar");
    let file = |bytes: u64| format!("\"files\": {{\"big\": {{\"sha256\": \"00\", \"bytes\": {bytes}}},");
    for bytes in [1 << 30, 1 << 40, u64::MAX] {
        let manifest = cart.manifest().replacen("\"files\": {", &file(bytes), 1);
        cart.lab.tar(&path, &manifest, |_| {});
        let (code, said) = cart.refusal(&path);
        assert!(code == "too_large" && said.contains("is too large"), "{said}");
    }
}

#[test]
fn half_an_upload_is_refused() {
    let mut cart = Cart::new();
    let path = cart.lab.bundle(&cart.desk, "a.tar", 1);
    let bytes = fs::read(&path).unwrap();
    for part in [0, 100, 512, 1500, bytes.len() / 2, bytes.len() - 2000] {
        fs::write(&path, &bytes[..part]).unwrap();
        let (code, said) = cart.refusal(&path);
        assert!(
            ["bad_archive", "no_bundle", "unsigned", "damaged"].contains(&code),
            "{part}: {code}: {said}"
        );
    }
}

#[test]
fn one_process_changes_the_store_and_others_may_look() {
    let mut cart = Cart::new();
    let path = cart.lab.bundle(&cart.desk, "a.tar", 1);
    let digest = cart.stage(&path).unwrap().digest;
    let error = Models::open(&cart.root).unwrap_err();
    assert!(
        error.code() == "store_held" && error.to_string().contains("another process holds it"),
        "{error}"
    );
    let catalog = nervelight_engines::store::models::Catalog::read(&cart.root).unwrap();
    assert_eq!(catalog.list(&[]).unwrap()[0].digest, digest);
    drop(cart.models);
    Models::open(&cart.root).unwrap();
}

#[test]
fn a_state_that_is_malformed_newer_or_names_what_is_not_there_is_said() {
    let cart = Cart::new();
    let state = cart.root.join("state.json");
    drop(cart.models);
    let good = format!(
        r#"{{"schema":1,"active":"{0}","previous":null,"probation":null,"floor":0,"rolled_back":null}}"#,
        "a".repeat(64)
    );
    for (text, code, expected) in [
        ("", "store_state", "is malformed"),
        ("{}", "store_state", "schema null is not 1"),
        (&good.replace(":1", ":2"), "store_state", "schema 2 is not 1"),
        (&good.replace("aaaa", "../"), "store_state", "is no digest"),
        (&good.replace("\"floor\":0", "\"flor\":0"), "store_state", "flor"),
        (&good, "unknown_digest", "no bundle \"aaaa"),
    ] {
        fs::write(&state, text).unwrap();
        let error = Models::open(&cart.root).and_then(|mut models| models.start(&[])).unwrap_err();
        assert!(error.code() == code && error.to_string().contains(expected), "{text}: {error}");
    }
}

#[test]
fn a_model_goes_on_probation_is_kept_or_goes_back() {
    let mut cart = Cart::new();
    let digests = ["a.tar", "b.tar", "c.tar"].map(|name| {
        let path = cart.lab.bundle(&cart.desk, name, u64::from(name.as_bytes()[0]));
        cart.stage(&path).unwrap().digest
    });
    let [a, b, c] = &digests;
    let models = &mut cart.models;
    assert!(models.start(&[]).unwrap().is_none());
    assert_eq!(models.roll_back("no").unwrap_err().code(), "no_previous");
    assert_eq!(models.keep().unwrap_err().code(), "no_probation");
    models.use_stored(a).unwrap();
    assert_eq!(models.begin_probation(a, 1).unwrap_err().code(), "already_active");
    assert_eq!(models.begin_probation(&"0".repeat(64), 1).unwrap_err().code(), "unknown_digest");
    for bad in ["", "abc", "../../etc", "zzzzzzzzzz"] {
        assert_eq!(models.find(bad).unwrap_err().code(), "bad_digest", "{bad}");
        assert!(models.path(bad).ends_with("bundles/none"));
    }
    models.begin_probation(b, 3).unwrap();
    assert_eq!(models.roll_back("latency").unwrap(), *a);
    let state = models.state().clone();
    assert_eq!((state.active.as_ref(), state.previous, state.probation), (Some(a), None, None));
    let rolled_back = state.rolled_back.unwrap();
    assert_eq!((&rolled_back.digest, rolled_back.why.as_str(), state.floor), (b, "latency", 0));
    assert_eq!(models.previous_model(), None);
    assert_eq!(models.roll_back("again").unwrap_err().code(), "no_previous");
    // A damaged active bundle never gives way to the one that was left.
    let weights = models.path(a).join("fp32.onnx");
    let good = fs::read(&weights).unwrap();
    fs::remove_file(&weights).unwrap();
    let error = models.start(&[]).unwrap_err();
    assert!(error.code() == "damaged" || error.to_string().contains("fp32.onnx is missing"), "{error}");
    assert!(
        error.to_string().contains("models use DIGEST") && !error.to_string().contains("Copy"),
        "{error}"
    );
    fs::write(&weights, good).unwrap();
    models.begin_probation(b, 4).unwrap();
    models.keep().unwrap();
    assert_eq!((models.state().floor, &models.state().rolled_back), (u64::from(b'b'), &None));
    assert_eq!(models.state().kept, [a.clone(), b.clone()]);

    // After an orderly stop the probation begins again, after any other end the model goes back.
    models.begin_probation(c, 5).unwrap();
    models.stop_probation().unwrap();
    let root = cart.root.clone();
    drop(cart.models);
    let mut models = Models::open(&root).unwrap();
    let started = models.start(&[]).unwrap().unwrap();
    assert_eq!((&started.bundle.digest, started.rolled_back.is_none()), (c, true));
    assert!(models.state().probation.as_ref().is_some_and(|probation| !probation.stopped));
    drop(models);
    let mut models = Models::open(&root).unwrap();
    let started = models.start(&[]).unwrap().unwrap();
    assert_eq!(&started.bundle.digest, b);
    assert!(started.rolled_back.unwrap().why.contains("ended without a stop"));
    assert_eq!(models.previous_model(), Some(a.as_str()));
    // What was left goes, what it would go back to stays.
    assert_eq!(models.prune(&[]).unwrap(), std::slice::from_ref(c));

    // A damaged active bundle gives way to the one before.
    fs::remove_file(models.path(b).join("fp32.onnx")).unwrap();
    drop(models);
    let started = Models::open(&root).unwrap().start(&[]).unwrap().unwrap();
    assert_eq!(&started.bundle.digest, a);
    assert!(started.rolled_back.unwrap().why.contains("fp32.onnx is missing"));
}

#[test]
fn going_back_twice_goes_on_to_earlier_models_and_what_was_refused_is_removed() {
    let mut cart = Cart::new();
    let digests = ["a.tar", "b.tar", "c.tar", "d.tar", "e.tar"].map(|name| {
        let path = cart.lab.bundle(&cart.desk, name, u64::from(name.as_bytes()[0]));
        cart.stage(&path).unwrap().digest
    });
    let [a, b, c, d, e] = &digests;
    let models = &mut cart.models;
    for digest in [a, b, c, d] {
        models.use_stored(digest).unwrap();
    }
    assert!(models.remove(e).unwrap() && !models.path(e).exists());
    assert!(!models.remove(e).unwrap(), "it is gone");
    assert!(!models.remove(d).unwrap() && !models.remove(c).unwrap(), "they are needed");
    assert_eq!(models.prune(&[]).unwrap(), std::slice::from_ref(a));
    assert_eq!(models.roll_back("an operator went back").unwrap(), *c);
    assert_eq!(models.roll_back("an operator went back").unwrap(), *b);
    assert_eq!(models.roll_back("an operator went back").unwrap_err().code(), "no_previous");
    // A person chooses what was left.
    models.use_stored(c).unwrap();
    assert_eq!(models.state().rolled_back, None);
    assert_eq!(models.previous_model(), Some(b.as_str()));
}

#[test]
fn a_store_that_lost_its_state_keeps_a_floor() {
    let mut cart = Cart::new();
    let old = cart.lab.bundle(&cart.desk, "old.tar", 7);
    let new = cart.lab.bundle(&cart.desk, "new.tar", 8);
    assert!(!cart.models.is_lost());
    let digest = cart.stage(&new).unwrap().digest;
    cart.models.use_stored(&digest).unwrap();
    fs::remove_file(cart.root.join("state.json")).unwrap();
    drop(cart.models);
    cart.models = Models::open(&cart.root).unwrap();
    assert!(cart.models.is_lost() && cart.models.start(&[]).unwrap().is_none());
    assert_eq!(cart.refusal(&old).0, "old_serial");
    // Its first model is brought by whoever configures it, and the floor stays.
    cart.models.fill(&old, std::slice::from_ref(&cart.lab.public), true).unwrap();
    assert_eq!((cart.models.state().floor, cart.models.is_lost()), (8, false));
    assert_eq!(cart.refusal(&old).0, "old_serial");
}
