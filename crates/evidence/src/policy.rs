//! Which logs and witnesses are trusted, and how many of them: C2SP tlog-policy.

use std::collections::{BTreeMap, BTreeSet};

use vouch_core::log::note::{Note, Verifier};

use crate::Error;

/// A longer file is refused.
pub const MAX_POLICY_BYTES: usize = 64 * 1024;

/// What must have cosigned a checkpoint. The default requires nothing and knows nobody.
#[derive(Debug, Clone, Default)]
pub struct WitnessPolicy {
    /// Logs whose checkpoints count; any if there are none.
    logs: Vec<Verifier>,
    witnesses: Vec<Witness>,
    /// None requires nothing.
    quorum: Option<Quorum>,
}

/// A witness that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// Its key.
    pub key: Verifier,
    /// Where it takes checkpoints, if that is known: its submission prefix, without `/` at the end.
    pub url: Option<String>,
}

/// At least `threshold` of the members.
#[derive(Debug, Clone)]
enum Quorum {
    /// By its place.
    Witness(usize),
    Group {
        threshold: usize,
        members: Vec<Quorum>,
    },
}

impl Quorum {
    fn is_met(&self, cosigned: &BTreeSet<usize>) -> bool {
        match self {
            Self::Witness(place) => cosigned.contains(place),
            Self::Group { threshold, members } => {
                members.iter().filter(|member| member.is_met(cosigned)).count() >= *threshold
            }
        }
    }
}

/// Who cosigned.
pub(crate) struct Cosigned {
    pub(crate) known: usize,
    pub(crate) found: usize,
    /// Unix seconds of the newest cosignature.
    pub(crate) newest: Option<u64>,
    pub(crate) is_enough: bool,
}

impl WitnessPolicy {
    /// `required` of these witnesses; a key that is given twice counts once.
    #[must_use]
    pub fn of(keys: Vec<Verifier>, required: usize) -> Self {
        let mut policy = Self::default();
        for key in keys {
            if policy.witnesses.iter().all(|known| known.key != key) {
                policy.witnesses.push(Witness { key, url: None });
            }
        }
        let members = (0..policy.witnesses.len()).map(Quorum::Witness).collect();
        policy.quorum = (required > 0).then_some(Quorum::Group { threshold: required, members });
        policy
    }

    /// Reads a policy: `log`, `witness`, `group` and `quorum` lines.
    ///
    /// # Errors
    /// [`Error::Policy`] with the line.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Reader::default().read(text)
    }

    /// The witnesses that are known.
    #[must_use]
    pub fn witnesses(&self) -> &[Witness] {
        &self.witnesses
    }

    /// Whether checkpoints of the log with this key count.
    pub(crate) fn takes(&self, log: &Verifier) -> bool {
        self.logs.is_empty() || self.logs.contains(log)
    }

    /// Whether nobody needs to have cosigned.
    pub(crate) fn is_none(&self) -> bool {
        self.quorum.is_none()
    }

    pub(crate) fn cosigned(&self, note: &Note) -> Cosigned {
        let times: BTreeMap<usize, u64> = (0..)
            .zip(&self.witnesses)
            .filter_map(|(place, witness)| Some((place, witness.key.verify(note)?)))
            .collect();
        let places = times.keys().copied().collect();
        Cosigned {
            known: self.witnesses.len(),
            found: times.len(),
            newest: times.into_values().max(),
            is_enough: self.quorum.as_ref().is_none_or(|quorum| quorum.is_met(&places)),
        }
    }
}

/// A policy in the making.
#[derive(Default)]
struct Reader {
    policy: WitnessPolicy,
    /// Witnesses and groups by name.
    named: BTreeMap<String, Quorum>,
    /// Names that are members of a group.
    members: BTreeSet<String>,
    has_quorum: bool,
}

impl Reader {
    fn read(mut self, text: &str) -> Result<WitnessPolicy, Error> {
        let at = |line: usize, why: String| Error::Policy { line, why };
        if text.len() > MAX_POLICY_BYTES {
            return Err(at(1, "it is longer than 64 KiB".into()));
        }
        let mut last = 1;
        for (number, line) in (1..).zip(text.split('\n')) {
            last = number;
            if line.chars().any(|char| char.is_ascii_control() && char != '\t') {
                return Err(at(number, "it has a control character".into()));
            }
            let words: Vec<_> = line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
            if words.first().is_some_and(|word| !word.starts_with('#')) {
                self.line(&words).map_err(|why| at(number, why))?;
            }
        }
        match self.has_quorum {
            true => Ok(self.policy),
            false => Err(at(last, "no quorum line: write `quorum none` to require nobody".into())),
        }
    }

    fn line(&mut self, words: &[&str]) -> Result<(), String> {
        match *words {
            ["log", key] | ["log", key, _] => self.log(key),
            ["witness", name, key] => self.witness(name, key, None),
            ["witness", name, key, url] => self.witness(name, key, Some(url)),
            ["group", name, threshold, ref members @ ..] => self.group(name, threshold, members),
            ["quorum", name] => self.quorum(name),
            [first, ..] => Err(format!(
                "`{}` and what follows is no log, witness, group or quorum line",
                first.escape_debug()
            )),
            [] => Ok(()),
        }
    }

    fn log(&mut self, key: &str) -> Result<(), String> {
        let key = Verifier::parse(key).map_err(|error| error.to_string())?;
        if self.policy.logs.iter().any(|known| known.same_key(&key)) {
            return Err("that log's key was given before".into());
        }
        self.policy.logs.push(key);
        Ok(())
    }

    fn witness(&mut self, name: &str, key: &str, url: Option<&str>) -> Result<(), String> {
        let key = Verifier::parse(key).map_err(|error| error.to_string())?;
        if self.policy.witnesses.iter().any(|known| known.key.same_key(&key)) {
            return Err("that witness's key was given before".into());
        }
        let place = self.policy.witnesses.len();
        let url = url.map(|url| url.trim_end_matches('/').to_owned());
        self.policy.witnesses.push(Witness { key, url });
        self.name(name, Quorum::Witness(place))
    }

    fn name(&mut self, name: &str, what: Quorum) -> Result<(), String> {
        let is_new = name != "none" && !self.named.contains_key(name);
        if !is_new {
            return Err(format!("the name `{}` is taken", name.escape_debug()));
        }
        self.named.insert(name.to_owned(), what);
        Ok(())
    }

    fn group(&mut self, name: &str, threshold: &str, members: &[&str]) -> Result<(), String> {
        let threshold = match threshold {
            "all" => members.len(),
            "any" => 1,
            number => number
                .parse()
                .map_err(|_| "a group needs `all`, `any` or a number before its members")?,
        };
        if threshold == 0 || threshold > members.len() {
            return Err("a group's number must be from 1 to how many members it has".into());
        }
        // Each may be a member once, so that no witness counts twice.
        for member in members {
            if !self.members.insert((*member).to_owned()) {
                return Err(format!("`{}` is a member already", member.escape_debug()));
            }
        }
        let members = members.iter().map(|member| self.find(member)).collect::<Result<_, _>>()?;
        self.name(name, Quorum::Group { threshold, members })
    }

    fn find(&self, name: &str) -> Result<Quorum, String> {
        let missing =
            || format!("`{}` is no witness or group of a line before", name.escape_debug());
        self.named.get(name).cloned().ok_or_else(missing)
    }

    fn quorum(&mut self, name: &str) -> Result<(), String> {
        if std::mem::replace(&mut self.has_quorum, true) {
            return Err("there is a quorum line already".into());
        }
        self.policy.quorum = match name {
            "none" => None,
            name => Some(self.find(name)?),
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;
    use vouch_core::log::note::cosign;

    use super::*;

    fn signing(number: u8) -> SigningKey {
        SigningKey::from_bytes(&[number; 32])
    }

    fn key(number: u8) -> Verifier {
        Verifier::witness(&format!("w{number}.example"), &signing(number))
    }

    fn note(cosigned: &[u8]) -> Note {
        let text = "example.com/log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n".to_owned();
        let cosign =
            |number: &u8| cosign(&key(*number).name, &signing(*number), &text, u64::from(*number));
        Note { signatures: cosigned.iter().map(cosign).collect(), text }
    }

    fn two_levels() -> String {
        let witness = |name: &str, number| format!("witness {name} {}\n", key(number));
        let all = [("X1", 1), ("X2", 2), ("X3", 3), ("Y1", 4), ("Y2", 5)];
        let witnesses: String =
            all.into_iter().map(|(name, number)| witness(name, number)).collect();
        format!(
            "# two owners\n\n{witnesses}group X 2 X1 X2 X3\n\tgroup\tY any Y1 Y2 \ngroup both all X Y\nquorum both\n"
        )
    }

    #[test]
    fn a_quorum_of_two_levels_is_met_only_by_both() {
        let policy = WitnessPolicy::parse(&two_levels()).unwrap();
        for (cosigned, is_enough) in [
            (&[1, 2, 4][..], true),
            (&[1, 3, 5], true),
            (&[1, 2, 3, 4, 5], true),
            (&[1, 4], false),
            (&[1, 2, 3], false),
            (&[4, 5], false),
            (&[1, 1, 4], false),
            (&[6, 7, 8], false),
            (&[], false),
        ] {
            let found = policy.cosigned(&note(cosigned));
            assert_eq!(found.is_enough, is_enough, "{cosigned:?}");
        }
        let found = policy.cosigned(&note(&[2, 5, 9]));
        assert_eq!((found.known, found.found, found.newest), (5, 2, Some(5)));
    }

    #[test]
    fn n_of_m_counts_each_key_once() {
        let policy = WitnessPolicy::of(vec![key(1), key(1), key(2), key(3)], 2);
        assert_eq!(policy.witnesses().len(), 3);
        assert!(policy.cosigned(&note(&[1, 3])).is_enough);
        assert!(!policy.cosigned(&note(&[1])).is_enough);
        assert!(!WitnessPolicy::of(vec![key(1)], 2).cosigned(&note(&[1])).is_enough);
    }

    #[test]
    fn what_is_no_policy_is_refused_with_its_line() {
        let line = format!("witness a {}", key(1));
        for (text, at) in [
            (String::new(), 1),
            (format!("{line}\n"), 2),
            (format!("{line}\nquorum b\n"), 2),
            (format!("{line}\nquorum a\nquorum a\n"), 3),
            (format!("{line}\n{line}\nquorum a\n"), 2),
            (format!("witness a {}\nwitness a {}\nquorum a\n", key(1), key(2)), 2),
            (format!("witness none {}\nquorum none\n", key(1)), 1),
            (format!("{line}\ngroup g 0 a\nquorum g\n"), 2),
            (format!("{line}\ngroup g 2 a\nquorum g\n"), 2),
            (format!("{line}\ngroup g any a a\nquorum g\n"), 2),
            (format!("{line}\ngroup g any\nquorum g\n"), 2),
            (format!("{line}\ngroup g any a\ngroup h any a\nquorum h\n"), 3),
            ("group g any g\nquorum g\n".into(), 1),
            ("witness a key\nquorum a\n".into(), 1),
            ("log\nquorum none\n".into(), 1),
            ("quorum none\u{7}\n".into(), 1),
        ] {
            match WitnessPolicy::parse(&text) {
                Err(Error::Policy { line, .. }) => assert_eq!(line, at, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        assert!(WitnessPolicy::parse("quorum none\n").unwrap().is_none());
    }

    #[test]
    fn a_policy_of_64_kib_is_read_and_no_longer_one() {
        let of_size = |bytes: usize| format!("quorum none\n#{}", "-".repeat(bytes - 13));
        assert!(WitnessPolicy::parse(&of_size(65_536)).is_ok());
        for bytes in [65_537, 65_538] {
            assert!(WitnessPolicy::parse(&of_size(bytes)).is_err(), "{bytes}");
        }
    }

    #[test]
    fn who_requires_nobody_takes_any_note() {
        let policy = WitnessPolicy::of(vec![key(1)], 0);
        assert!(policy.is_none() && policy.cosigned(&note(&[])).is_enough);
        assert!(!WitnessPolicy::of(vec![key(1)], 1).is_none());
    }

    #[test]
    fn a_witness_is_asked_where_its_line_says() {
        let line = format!("witness a {} https://w.example/\nquorum none\n", key(1));
        let policy = WitnessPolicy::parse(&line).unwrap();
        assert_eq!(policy.witnesses()[0].url.as_deref(), Some("https://w.example"));
    }

    #[test]
    fn a_key_is_given_once() {
        let log = Verifier::log("example.com/log", &signing(1));
        let twice = format!("log {log}\nlog {log}\nquorum none\n");
        assert!(matches!(WitnessPolicy::parse(&twice), Err(Error::Policy { line: 2, .. })));
    }

    #[test]
    fn only_listed_logs_count() {
        let log = |number| Verifier::log("example.com/log", &signing(number));
        let policy =
            WitnessPolicy::parse(&format!("log {} https://a\nquorum none", log(1))).unwrap();
        assert!(policy.takes(&log(1)) && !policy.takes(&log(2)));
        assert!(WitnessPolicy::default().takes(&log(2)));
    }
}
