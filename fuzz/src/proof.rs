//! What a stranger hands over as proof.

use vouch_core::{receipt::Receipt, terms::Terms};
use vouch_evidence::{Options, WitnessPolicy, fault::Fault, read, read_tree, verify, verify_tree};

use crate::text;

pub(crate) fn receipt(bytes: &[u8]) {
    if let Ok(receipt) = Receipt::decode(bytes) {
        assert_eq!(receipt.encode().as_slice(), bytes, "one receipt, one encoding");
        let json = serde_json::to_vec(&receipt).expect("a receipt has a JSON form");
        assert_eq!(serde_json::from_slice::<Receipt>(&json).expect("its own"), receipt);
    }
}

pub(crate) fn terms(bytes: &[u8]) {
    if let Ok(terms) = serde_json::from_slice::<Terms>(bytes)
        && terms.check().is_ok()
    {
        let again = serde_json::to_vec(&terms).expect("terms have a JSON form");
        let again: Terms = serde_json::from_slice(&again).expect("its own");
        assert_eq!(again.hash().ok(), terms.hash().ok());
    }
}

pub(crate) fn bundle(bytes: &[u8]) {
    if let Some(Ok(bundle)) = text(bytes).map(read) {
        let report = verify(&bundle, &Options::default());
        assert!(!report.to_string().contains('\u{1b}'), "a stranger's escape is printed");
    }
}

pub(crate) fn tree(bytes: &[u8]) {
    if let Some(Ok(tree)) = text(bytes).map(read_tree) {
        let report = verify_tree(&tree, &|_| Options::default());
        assert!(!report.to_string().contains('\u{1b}'), "a stranger's escape is printed");
    }
}

pub(crate) fn fault(bytes: &[u8]) {
    if let Ok(fault) = serde_json::from_slice::<Fault>(bytes) {
        let _verdict = fault.verify();
    }
}

pub(crate) fn policy(bytes: &[u8]) {
    if let Some(Ok(policy)) = text(bytes).map(WitnessPolicy::parse) {
        assert!(policy.witnesses().len() <= bytes.len());
    }
}
