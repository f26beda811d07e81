//! Changing any byte of a statement is refused.

use proptest::prelude::*;

use super::*;

/// Every byte of the first statement. The test below draws bytes of the others at random, because each
/// verification starts with the first statement again.
#[test]
fn any_one_byte_changed_in_a_statement_is_refused() {
    let mut case = Case::golden();
    case.last = Some(Stage::Bake);
    case.files = super::super::super::testing::files(Stage::Bake);
    let mut sealed = case.seal();
    sealed.truncate(1);
    let trust = TrustRoot::parse(&case.trust_yaml()).unwrap();
    case.verify_with(&sealed, &trust).unwrap();
    for at in 0..sealed[0].1.len() {
        // Bit 5 turns upper into lower case, so it also meets lenient readers of hexadecimal.
        sealed[0].1[at] ^= 0x20;
        assert!(case.verify_with(&sealed, &trust).is_err(), "byte {at}");
        sealed[0].1[at] ^= 0x20;
    }
    case.verify_with(&sealed, &trust).unwrap();
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
            prop_assert!(case.verify_with(&files, &trust).is_err(), "byte {at} of {} by {by}", files[file].0);
        }
    }
}
