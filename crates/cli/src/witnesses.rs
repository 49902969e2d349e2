//! Witnesses as a person names them.

use std::path::Path;

use anyhow::{Context, ensure};
use vouch_core::log::note::Verifier;
use vouch_evidence::{MAX_POLICY_BYTES, Witness, WitnessPolicy};

/// A witness as `KEY`, or `KEY@URL` where it takes checkpoints.
pub(crate) fn parse(text: &str) -> anyhow::Result<Witness> {
    // A verifier key is name+hash+base64: an `@` in it can only be the name's.
    let key = text.match_indices('+').nth(1).map_or(0, |(at, _)| at);
    let (key, url) = match text[key..].find('@') {
        Some(at) => (&text[..key + at], Some(&text[key + at + 1..])),
        None => (text, None),
    };
    let url = url.map(|url| {
        ensure!(
            url.starts_with("http://") || url.starts_with("https://"),
            "--witness {text:?}: what follows the @ is no http address"
        );
        Ok(url.trim_end_matches('/').to_owned())
    });
    let key = Verifier::parse(key).with_context(|| {
        format!("--witness {text:?} is no verifier key: `vouch witness --show-key` prints one")
    })?;
    Ok(Witness { key, url: url.transpose()? })
}

/// A C2SP tlog-policy file.
pub(crate) fn read_policy(path: &Path) -> anyhow::Result<WitnessPolicy> {
    let shown = path.display();
    let size = std::fs::metadata(path).with_context(|| format!("{shown} cannot be read"))?.len();
    ensure!(size <= MAX_POLICY_BYTES as u64, "{shown} is longer than a policy may be, 64 KiB");
    let text = std::fs::read_to_string(path).with_context(|| format!("{shown} cannot be read"))?;
    WitnessPolicy::parse(&text).with_context(|| format!("{shown} is no policy"))
}

#[cfg(test)]
mod tests {
    use vouch_wallet::LogKey;

    use super::*;

    #[test]
    fn a_key_may_have_an_address() {
        let home = tempfile::tempdir().unwrap();
        let signing = LogKey::open_or_create(home.path(), "").unwrap();
        let key = Verifier::witness("w@x.example", signing.signing_key()).to_string();
        assert_eq!(parse(&key).unwrap().url, None);
        let both = parse(&format!("{key}@http://127.0.0.1:4030/")).unwrap();
        assert_eq!(
            (both.key.to_string(), both.url.unwrap()),
            (key.clone(), "http://127.0.0.1:4030".into())
        );
        for wrong in [format!("{key}@ftp://a"), format!("{key}@"), format!("x{key}"), String::new()]
        {
            assert!(parse(&wrong).is_err(), "{wrong}");
        }
    }
}
