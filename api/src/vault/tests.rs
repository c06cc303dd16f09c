//! What the vault promises.

use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;

use engine::core::ids::Timestamp;
use engine::core::key::{KeyState, StoredKey};
use engine::core::user::VenueKind;
use engine::core::venue_account::{Egress, Environment, VenueSite};

use super::master::MasterError;
use super::*;

/// RFC 8410 §10.3 has this key.
const ED25519: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
const NAME: &str = "nameOfTheKey1234";
const SECRET: &str = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP";

struct Counting(u8);

impl Entropy for Counting {
    fn fill(&mut self, out: &mut [u8]) {
        for byte in out {
            *byte = self.0;
            self.0 = self.0.wrapping_add(37);
        }
    }
}

fn master(byte: u8) -> MasterKey {
    MasterKey::random(&mut Counting(byte))
}

fn vault(byte: u8) -> Vault {
    Vault::new(MasterKeys::one(master(byte)))
}

fn text(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

const PLACE: VenuePlace = VenuePlace {
    venue: VenueKind::Bybit,
    environment: Environment::Mainnet,
    site: VenueSite::Main,
    egress: Egress::Any,
};
const OWNER: KeyOwner = KeyOwner { user: UserId(7), index: 1, place: PLACE };

fn sealed(vault: &Vault) -> NewKey {
    vault.seal(&OWNER, KeyKind::Hmac, &text(NAME), &text(SECRET), &mut Counting(1)).expect("a key")
}

fn account(key: &NewKey, place: VenuePlace) -> ExchangeAccount {
    let stored = StoredKey {
        number: 1,
        kind: key.kind,
        hint: key.hint,
        sealed: key.sealed.clone(),
        set_at: Timestamp(1),
        expires_at: Timestamp(0),
    };
    ExchangeAccount {
        key: Some(Box::new(stored)),
        key_state: KeyState::Pending,
        ..ExchangeAccount::new(place)
    }
}

fn open(vault: &Vault, owner: &KeyOwner, key: &NewKey) -> Result<Credential, OpenError> {
    vault.open(owner.user, owner.index, &account(key, owner.place))
}

#[test]
fn what_was_sealed_signs_as_before() {
    let vault = vault(1);
    let owner = KeyOwner { place: VenuePlace { venue: VenueKind::Binance, ..PLACE }, ..OWNER };
    for (kind, secret) in [(KeyKind::Hmac, SECRET), (KeyKind::Ed25519, ED25519)] {
        let key = vault.seal(&owner, kind, &text(NAME), &text(secret), &mut Counting(1)).expect("a key");
        let opened = open(&vault, &owner, &key).expect("opens");
        let entered = Credential::new(kind, NAME, secret).expect("a key");
        assert_eq!((opened.kind(), opened.api_key()), (kind, NAME));
        assert_eq!(opened.sign(b"message"), entered.sign(b"message"));
        assert_eq!(vault.check(owner.user, owner.index, &account(&key, owner.place)), Ok(()));
        assert_eq!((key.kind, key.hint.text().as_str()), (kind, "1234"));
    }
}

#[test]
fn the_longest_key_fits() {
    let long = "s".repeat(256);
    let vault = vault(1);
    let key = vault.seal(&OWNER, KeyKind::Hmac, &text(&long), &text(&long), &mut Counting(1)).expect("a key");
    assert_eq!(open(&vault, &OWNER, &key).expect("opens").api_key(), long);
    let longer = "s".repeat(SECRET_BYTES_MAX + 1);
    for kind in [KeyKind::Hmac, KeyKind::Rsa] {
        let refused = vault.seal(&OWNER, kind, &text(NAME), &text(&longer), &mut Counting(1));
        assert_eq!(refused, Err(SealError::TooLong));
    }
}

#[test]
fn case_n12_each_key_is_sealed_by_itself() {
    let vault = vault(1);
    let mut entropy = Counting(1);
    let mut seal =
        || vault.seal(&OWNER, KeyKind::Hmac, &text(NAME), &text(SECRET), &mut entropy).expect("a key");
    let (one, two) = (seal(), seal());
    // The same key twice has nothing in common but what says by which master key it opens.
    assert_eq!(one.sealed.0[..9], two.sealed.0[..9]);
    let alike = one.sealed.0[9..].iter().zip(&two.sealed.0[9..]).filter(|(a, b)| a == b).count();
    assert!(alike < 16, "{alike} of {} bytes are alike", one.sealed.0.len() - 9);
    for part in [NAME, SECRET, "1234"] {
        for key in [&one, &two] {
            assert!(!key.sealed.0.windows(part.len()).any(|window| window == part.as_bytes()), "{part}");
        }
    }
}

#[test]
fn case_n12_ciphertext_opens_for_its_own_account_only() {
    let vault = vault(1);
    let key = sealed(&vault);
    let with = |place: VenuePlace| KeyOwner { place, ..OWNER };
    for (owner, what) in [
        (KeyOwner { user: UserId(8), ..OWNER }, "another user"),
        (KeyOwner { index: 2, ..OWNER }, "another account"),
        (with(VenuePlace { venue: VenueKind::Binance, ..PLACE }), "another exchange"),
        (with(VenuePlace { environment: Environment::Testnet, ..PLACE }), "another environment"),
        (with(VenuePlace { site: VenueSite::Europe, ..PLACE }), "another site"),
    ] {
        assert_eq!(open(&vault, &owner, &key).err(), Some(OpenError::Damaged), "{what}");
    }
    let elsewhere = with(VenuePlace { egress: Egress::V4([203, 0, 113, 7]), ..PLACE });
    assert!(open(&vault, &elsewhere, &key).is_ok(), "the address is not what it belongs to");
}

#[test]
fn every_changed_byte_is_noticed() {
    let vault = vault(1);
    let key = sealed(&vault);
    for at in 0..key.sealed.0.len() {
        for bit in [1, 0x80] {
            let mut changed = key.clone();
            changed.sealed.0[at] ^= bit;
            assert!(open(&vault, &OWNER, &changed).is_err(), "byte {at}");
        }
    }
    for length in 0..key.sealed.0.len() {
        let cut = NewKey { sealed: Sealed(key.sealed.0[..length].into()), ..key.clone() };
        assert!(open(&vault, &OWNER, &cut).is_err(), "{length} bytes");
    }
    let mut newer = key.clone();
    newer.sealed.0[0] = 2;
    assert_eq!(open(&vault, &OWNER, &newer).err(), Some(OpenError::Newer(2)));
}

#[test]
fn another_master_key_opens_nothing_and_an_earlier_one_still_does() {
    let old = vault(1);
    let key = sealed(&old);
    let id = old.masters().current().id();
    assert_eq!(open(&vault(2), &OWNER, &key).err(), Some(OpenError::UnknownMaster(id)));
    // A rotation: the new key first, the old one behind it.
    let list = format!("{} # new\n{}\n", *master(2).to_base64(), *master(1).to_base64());
    let rotated = Vault::new(MasterKeys::parse(&list, "test").expect("two keys"));
    assert!(open(&rotated, &OWNER, &key).is_ok());
    let anew = sealed(&rotated);
    assert_eq!(open(&old, &OWNER, &anew).err(), Some(OpenError::UnknownMaster(master(2).id())));
    assert!(open(&rotated, &OWNER, &anew).is_ok());
}

#[test]
fn a_key_of_an_earlier_master_key_is_sealed_anew_once() {
    let old = vault(1);
    let list = format!("{}\n{}\n", *master(2).to_base64(), *master(1).to_base64());
    let rotated = Vault::new(MasterKeys::parse(&list, "test").expect("two keys"));
    let key = sealed(&old);
    let mut user = User::new(OWNER.user, Timestamp(1));
    user.accounts.push(ExchangeAccount::new(VenuePlace::PAPER));
    user.accounts.push(account(&key, PLACE));
    let mut users = [user];
    let anew = reseal_all(&rotated, &users, &mut Counting(9));
    let [Resealed { account: at, number, sealed: fresh }] = &anew[..] else { panic!("{anew:?}") };
    assert_eq!((*at, *number), (AccountId { user: OWNER.user, index: 1 }, 1));
    assert_eq!(fresh.0.len(), key.sealed.0.len());
    let again = NewKey { sealed: fresh.clone(), ..key.clone() };
    // It signs as before, for its owner and for nobody else, and no longer under the old one.
    let signer = open(&vault(2), &OWNER, &again).expect("opens");
    assert_eq!((signer.kind(), signer.api_key()), (KeyKind::Hmac, NAME));
    assert_eq!(open(&old, &OWNER, &again).err(), Some(OpenError::UnknownMaster(master(2).id())));
    let other = KeyOwner { user: UserId::from_email("eve@example.com"), ..OWNER };
    assert_eq!(open(&rotated, &other, &again).err(), Some(OpenError::Damaged));
    users[0].accounts[1] = account(&again, PLACE);
    assert!(reseal_all(&rotated, &users, &mut Counting(9)).is_empty(), "it is done");
    // What does not open stays as it is: nothing of it is known.
    users[0].accounts[1] = account(&key, PLACE);
    assert!(reseal_all(&vault(3), &users, &mut Counting(9)).is_empty());
}

#[test]
fn a_look_at_all_keys_names_those_that_do_not_open() {
    let vault_1 = vault(1);
    let key = sealed(&vault_1);
    let mut user = User::new(OWNER.user, Timestamp(1));
    user.accounts.push(ExchangeAccount::new(VenuePlace::PAPER));
    user.accounts.push(account(&key, PLACE));
    let users = [user];
    assert_eq!(look(Some(&vault_1), &users), Unreadable { looked_at: 1, ..Unreadable::default() });
    let keys = vec![(AccountId { user: OWNER.user, index: 1 }, 1)];
    let first = Some(OpenError::UnknownMaster(vault_1.masters().current().id()));
    assert_eq!(look(Some(&vault(2)), &users), Unreadable { keys: keys.clone(), first, looked_at: 1 });
    assert_eq!(look(None, &users), Unreadable { keys, first: None, looked_at: 1 });
}

#[test]
fn case_t9_a_kind_that_the_exchange_does_not_take_is_refused_by_name() {
    let seal = |venue, kind| {
        let owner = KeyOwner { place: VenuePlace { venue, ..PLACE }, ..OWNER };
        vault(1).seal(&owner, kind, &text(NAME), &text(ED25519), &mut Counting(1))
    };
    assert!(seal(VenueKind::Binance, KeyKind::Ed25519).is_ok());
    let refused = seal(VenueKind::Bybit, KeyKind::Ed25519).expect_err("refused").to_string();
    assert_eq!(refused, "key_type: bybit takes no ed25519 keys, but hmac or rsa");
    let refused = seal(VenueKind::Paper, KeyKind::Hmac).expect_err("refused").to_string();
    assert_eq!(refused, "key_type: paper takes no hmac keys");
}

#[test]
fn what_cannot_be_a_key_is_refused_without_its_text() {
    let owner = KeyOwner { place: VenuePlace { venue: VenueKind::Binance, ..PLACE }, ..OWNER };
    let seal = |kind, name: &str, secret: &str| {
        vault(1)
            .seal(&owner, kind, &text(name), &text(secret), &mut Counting(1))
            .expect_err("refused")
            .to_string()
    };
    for message in [
        seal(KeyKind::Hmac, "na me", SECRET),
        seal(KeyKind::Hmac, NAME, ED25519),
        seal(KeyKind::Rsa, NAME, SECRET),
        seal(KeyKind::Ed25519, NAME, SECRET),
    ] {
        assert!(message.starts_with("api_key: ") || message.starts_with("secret: "), "{message}");
        assert!(!message.contains(SECRET) && !message.contains("MC4C"), "{message}");
    }
}

#[test]
fn nothing_prints_a_key() {
    let vault = vault(1);
    let shown = format!("{vault:?} {:?} {:?} {:?}", sealed(&vault), text(SECRET), master(1));
    let key = master(1).to_base64();
    assert!(!shown.contains(SECRET) && !shown.contains(NAME) && !shown.contains(&key[..8]), "{shown}");
}

fn find(
    file: Option<&std::path::Path>,
    variables: &[(&str, &str)],
) -> Result<Option<MasterKeys>, MasterError> {
    MasterKeys::find_with(file, |name| {
        variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).into())
    })
}

#[test]
fn master_keys_come_from_one_place() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join(master::CREDENTIAL);
    let (one, two) = (master(1).to_base64(), master(2).to_base64());
    std::fs::write(&path, format!("# ours\n{}\n", *one)).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("ours");
    let directory = dir.path().to_str().expect("text");
    let ids = |found: Result<Option<MasterKeys>, MasterError>| {
        found.expect("usable").map(|keys| keys.ids().collect::<Vec<_>>())
    };
    assert_eq!(ids(find(None, &[])), None);
    assert_eq!(ids(find(Some(&path), &[])), Some(vec![master(1).id()]));
    assert_eq!(ids(find(None, &[("CREDENTIALS_DIRECTORY", directory)])), Some(vec![master(1).id()]));
    assert_eq!(ids(find(None, &[("CREDENTIALS_DIRECTORY", "/nowhere")])), None);
    let both = format!("{},{}", *two, *one);
    let wanted = vec![master(2).id(), master(1).id()];
    assert_eq!(ids(find(None, &[(master::VARIABLE, &both)])), Some(wanted));
    for variables in [&[(master::VARIABLE, one.as_str())][..], &[("CREDENTIALS_DIRECTORY", directory)][..]] {
        let twice = find(Some(&path), variables).expect_err("two sources").to_string();
        assert!(twice.contains("--master-key-file") && twice.contains("give one of them"), "{twice}");
    }
}

#[test]
fn a_secret_that_is_no_text_or_is_given_twice_is_refused_and_a_credential_may_look_open() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join(master::CREDENTIAL);
    std::fs::write(&path, master(1).to_base64().as_bytes()).expect("written");
    // As systemd leaves it: made for this process alone, with a mask that looks like its group's right.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o440)).expect("ours");
    let directory = dir.path().to_str().expect("text");
    let found = find(None, &[("CREDENTIALS_DIRECTORY", directory)]).expect("usable").expect("given");
    assert_eq!(found.current().id(), master(1).id());
    let one = master(1).to_base64();
    let twice = [(master::VARIABLE, one.as_str()), ("CREDENTIALS_DIRECTORY", directory)];
    let told = find(None, &twice).expect_err("two sources").to_string();
    assert!(told.contains("$COINBITCLUB_MASTER_KEY") && told.contains("the credential"), "{told}");
    assert!(!told.contains(&one[..10]), "{told}");
    let bytes = std::ffi::OsString::from_vec(vec![b'x', 0xff]);
    let told = MasterKeys::find_with(None, |name| (name == master::VARIABLE).then(|| bytes.clone()));
    assert_eq!(
        told.expect_err("no text").to_string(),
        "the master key: $COINBITCLUB_MASTER_KEY is not UTF-8"
    );
}

#[test]
fn a_master_key_that_others_can_read_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("master");
    std::fs::write(&path, master(1).to_base64().as_bytes()).expect("written");
    for (mode, taken) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o620, false)] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("ours");
        let found = find(Some(&path), &[]);
        assert_eq!(found.is_ok(), taken, "{mode:o}");
        assert!(taken || found.expect_err("refused").to_string().contains("chmod 600"));
    }
}

#[test]
fn what_is_no_master_key_is_named_without_it() {
    let good = master(1).to_base64();
    let short = &good[..40];
    let zeroes = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let many = (1..=17).map(|n| master(n).to_base64().to_string()).collect::<Vec<_>>().join("\n");
    for (list, part) in [
        ("", "no master key"),
        ("# only words\n", "no master key"),
        (short, "key 1 is not a master key"),
        (&format!("{}\nhunter2", *good), "key 2 is not a master key"),
        (&format!("{} {}", *good, *good), "twice"),
        (zeroes, "placeholder"),
        (&many, "more than 16"),
        (&"x".repeat(master::TEXT_BYTES_MAX + 1), "too long"),
    ] {
        let message = MasterKeys::parse(list, "the place").expect_err("refused").to_string();
        assert!(message.starts_with("the place: ") && message.contains(part), "{message}");
        assert!(!message.contains(short) && !message.contains("hunter2"), "{message}");
    }
}
