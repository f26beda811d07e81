//! No byte of a statement can be changed.

use proptest::prelude::*;

use super::*;

#[test]
fn any_one_byte_changed_in_any_statement_is_refused() {
    // One key only: every key of the trust root would be tried on every one of some ten thousand changes.
    let case = Case::golden();
    let sealed = case.seal();
    let trust = TrustRoot::parse(&case.trust_yaml()).unwrap();
    case.judge_by(&sealed, &trust).unwrap();
    let mut files = sealed.clone();
    for file in 0..files.len() {
        for at in 0..files[file].1.len() {
            // Bit 5 turns upper into lower case, so it also meets lenient readers of hexadecimal.
            files[file].1[at] ^= 0x20;
            assert!(case.judge_by(&files, &trust).is_err(), "byte {at} of {}", files[file].0);
            files[file].1[at] ^= 0x20;
        }
    }
    case.judge_by(&files, &trust).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn any_byte_changed_to_any_other_is_refused(
        changes in proptest::collection::vec((0_usize..4, any::<proptest::sample::Index>(), 1_u8..), 64),
    ) {
        let case = Case::good();
        let sealed = case.seal();
        let trust = TrustRoot::parse(&case.trust_yaml()).unwrap();
        for (file, at, by) in changes {
            let mut files = sealed.clone();
            let at = at.index(files[file].1.len());
            files[file].1[at] ^= by;
            prop_assert!(case.judge_by(&files, &trust).is_err(), "byte {at} of {} by {by}", files[file].0);
        }
    }
}
