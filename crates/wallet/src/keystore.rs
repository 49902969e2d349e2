//! Key files: 32 secret bytes under a passphrase.

use std::{
    fs,
    io::{ErrorKind, Read},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use alloy::signers::{
    k256::elliptic_curve::rand_core::OsRng,
    local::{LocalSignerError, PrivateKeySigner},
};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::Error;

/// 32 secret bytes, erased when dropped.
pub(crate) type Secret = Zeroizing<[u8; 32]>;

const MAX_FILE_BYTES: u64 = 64 * 1024;
/// scrypt's memory is 128 * N * r bytes: geth's N = 2^18 with r = 8 takes 256 MiB. A file that asks
/// for more is refused rather than obeyed.
const MAX_SCRYPT_BYTES: u64 = 512 << 20;
const MAX_PBKDF2_ROUNDS: u64 = 10_000_000;

/// The secret in `path`; if there is no such file, a new one, kept there.
pub(crate) fn open_or_create(path: &Path, passphrase: &str) -> Result<Secret, Error> {
    match open(path, passphrase) {
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
            let secret = random()?;
            match create(path, &secret, passphrase) {
                // Another process was faster: its key is the one.
                Err(Error::Exists { .. }) => open(path, passphrase),
                created => created.map(|()| secret),
            }
        }
        opened => opened,
    }
}

/// The secret in `path`.
pub(crate) fn open(path: &Path, passphrase: &str) -> Result<Secret, Error> {
    let file = fs::File::open(path).map_err(Error::io("open", path))?;
    let mut text = String::new();
    file.take(MAX_FILE_BYTES).read_to_string(&mut text).map_err(Error::io("read", path))?;
    check_shape(&text).map_err(|why| Error::Malformed { path: path.to_owned(), why })?;
    let signer =
        PrivateKeySigner::decrypt_keystore(path, passphrase).map_err(|error| match error {
            LocalSignerError::EthKeystoreError(error) if error.to_string().contains("Mac") => {
                Error::Passphrase { path: path.to_owned() }
            }
            error => Error::Malformed { path: path.to_owned(), why: error.to_string() },
        })?;
    Ok(Zeroizing::new(signer.to_bytes().0))
}

/// Writes a new key file: whole under its name or not at all, for its owner alone.
pub(crate) fn create(path: &Path, secret: &Secret, passphrase: &str) -> Result<(), Error> {
    let dir = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
    let staging = staging(path)?;
    let written = write(&staging, path, secret, passphrase);
    let removed = fs::remove_dir_all(&staging).map_err(Error::io("remove", &staging));
    written.and(removed)
}

/// A directory that only its owner may enter: the file inside never shows with other permissions.
fn staging(path: &Path) -> Result<PathBuf, Error> {
    let mut tag = [0; 8];
    getrandom::fill(&mut tag).map_err(|error| Error::Random(error.to_string()))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let staging = path.with_file_name(format!(".{name}.{:016x}", u64::from_be_bytes(tag)));
    fs::DirBuilder::new().mode(0o700).create(&staging).map_err(Error::io("create", &staging))?;
    Ok(staging)
}

fn write(staging: &Path, path: &Path, secret: &Secret, passphrase: &str) -> Result<(), Error> {
    PrivateKeySigner::encrypt_keystore(
        staging,
        &mut OsRng,
        secret.as_slice(),
        passphrase,
        Some("key"),
    )
    .map_err(|error| Error::Malformed { path: path.to_owned(), why: error.to_string() })?;
    let file = staging.join("key");
    let owner_only = fs::Permissions::from_mode(0o600);
    fs::set_permissions(&file, owner_only).map_err(Error::io("set the mode of", &file))?;
    let synced = fs::File::open(&file).and_then(|file| file.sync_all());
    synced.map_err(Error::io("sync", &file))?;
    // A link fails where the name is taken; a rename would replace a key that holds money.
    fs::hard_link(&file, path).map_err(|source| match source.kind() {
        ErrorKind::AlreadyExists => Error::Exists { path: path.to_owned() },
        _ => Error::io("create", path)(source),
    })?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(Error::io("sync", dir))
}

/// A secret that is a key of secp256k1 and, as any 32 bytes are, a seed of Ed25519.
pub(crate) fn random() -> Result<Secret, Error> {
    loop {
        let mut secret = Secret::default();
        getrandom::fill(secret.as_mut_slice()).map_err(|error| Error::Random(error.to_string()))?;
        if secp256k1::SecretKey::from_byte_array(*secret).is_ok() {
            return Ok(secret);
        }
    }
}

/// Checks lengths and costs that the decryption takes on trust: it would panic or never end.
fn check_shape(text: &str) -> Result<(), String> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("no JSON: {error}"))?;
    let crypto = &value["crypto"];
    let hex_bytes = |value: &Value| value.as_str().map_or(0, |text| text.len() / 2);
    let parameters = &crypto["kdfparams"];
    let number = |name: &str| parameters[name].as_u64();
    if value["version"] != 3 {
        return Err("its version is not 3".into());
    }
    if hex_bytes(&crypto["cipherparams"]["iv"]) != 16 || number("dklen") != Some(32) {
        return Err("its iv is not 16 bytes or its dklen not 32".into());
    }
    if hex_bytes(&crypto["ciphertext"]) != 32 {
        return Err("it does not hold 32 bytes".into());
    }
    let cost = match (number("n"), number("r"), number("p"), number("c")) {
        (Some(n), Some(r), Some(p), _) if n.is_power_of_two() => {
            n.saturating_mul(r).saturating_mul(p).saturating_mul(128) <= MAX_SCRYPT_BYTES
        }
        (None, None, None, Some(rounds)) => rounds <= MAX_PBKDF2_ROUNDS,
        _ => return Err("its key derivation is neither scrypt nor PBKDF2".into()),
    };
    if cost { Ok(()) } else { Err("its key derivation is too costly".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_key_file_opens_again_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/key.json");
        let secret = open_or_create(&path, "passphrase").unwrap();
        assert_eq!(*open(&path, "passphrase").unwrap(), *secret);
        assert_eq!(mode(&path), 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing left over");
    }

    #[test]
    fn another_passphrase_is_told_from_damage() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.json");
        open_or_create(&path, "one").unwrap();
        assert!(matches!(open_or_create(&path, "two"), Err(Error::Passphrase { .. })));
        let text = fs::read_to_string(&path).unwrap();
        for bad in ["", "{}", "[]", &text[..text.len() / 2]] {
            fs::write(&path, bad).unwrap();
            assert!(matches!(open(&path, "one"), Err(Error::Malformed { .. })), "{bad}");
        }
    }

    #[test]
    fn a_file_may_not_ask_for_unbounded_work_or_lie_about_lengths() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.json");
        open_or_create(&path, "").unwrap();
        let good: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        for (pointer, bad) in [
            ("/crypto/kdfparams/n", Value::from(1u64 << 31)),
            ("/crypto/kdfparams/n", Value::from(1000)),
            ("/crypto/kdfparams/dklen", Value::from(16)),
            ("/crypto/cipherparams/iv", Value::from("00")),
            ("/crypto/ciphertext", Value::from("00")),
            ("/version", Value::from(4)),
        ] {
            let mut value = good.clone();
            *value.pointer_mut(pointer).unwrap() = bad;
            fs::write(&path, value.to_string()).unwrap();
            assert!(matches!(open(&path, ""), Err(Error::Malformed { .. })), "{pointer}");
        }
    }

    #[test]
    fn a_key_is_never_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.json");
        let first = open_or_create(&path, "").unwrap();
        let second = random().unwrap();
        assert!(matches!(create(&path, &second, ""), Err(Error::Exists { .. })));
        assert_eq!(*open(&path, "").unwrap(), *first);
    }
}
