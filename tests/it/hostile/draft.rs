//! Unpacks an artifact, changes its files and statements, signs and packs it again.

use std::collections::BTreeMap;
use std::io::Read;
use std::time::Duration;

use bakeline::artifact::{ArchiveWriter, EntryPath};
use bakeline::evidence::dsse::{IN_TOTO, pae};
use bakeline::evidence::layout::STATEMENTS;
use bakeline::evidence::{Sha256, Signer};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::repository;

/// All files of an artifact, by path.
pub type Files = BTreeMap<String, Vec<u8>>;

/// The key that signs.
#[derive(Clone, Copy, PartialEq)]
pub enum By {
    /// The worker's key, which is trusted.
    Worker,
    /// An untrusted key.
    Stranger,
    /// The untrusted key with the id of the worker's key.
    Impostor,
}

/// An artifact whose statements can be changed. [`Draft::seal`] signs them again.
pub struct Draft {
    /// The files other than the statements.
    pub files: Files,
    /// The statements, by path.
    pub said: BTreeMap<String, Value>,
    pub by: By,
    /// Whether `previous` of each statement is set to the digest of the statement before it.
    pub linked: bool,
    /// The action execution that reads the artifact.
    pub reader: String,
    /// The time that passes before it is read.
    pub later: Duration,
}

pub fn unpack(artifact: &[u8]) -> Files {
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(artifact)).unwrap();
    let mut files = Files::new();
    for index in 0..archive.len() {
        let mut file = archive.by_index(index).unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        let name = file.name().unwrap().into_owned();
        files.insert(name, bytes);
    }
    files
}

pub fn pack(files: &Files) -> Vec<u8> {
    let mut writer = ArchiveWriter::new().unwrap();
    for (path, bytes) in files {
        writer.add(&EntryPath::new(path.as_str()).unwrap(), bytes).unwrap();
    }
    std::fs::read(writer.finish().unwrap().path()).unwrap()
}

/// The payload of an envelope. The signature is not verified.
pub fn payload(envelope: &[u8]) -> Value {
    let envelope: Value = serde_json::from_slice(envelope).unwrap();
    serde_json::from_slice(&STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap()).unwrap()
}

/// An envelope as bakeline writes it.
pub fn envelope(payload: &Value, keyid: &str, sig: &[u8]) -> Vec<u8> {
    let payload = STANDARD.encode(serde_json::to_vec(payload).unwrap());
    let signatures = json!([{"keyid": keyid, "sig": STANDARD.encode(sig)}]);
    let mut bytes =
        serde_json::to_vec(&json!({"payloadType": IN_TOTO, "payload": payload, "signatures": signatures}))
            .unwrap();
    bytes.push(b'\n');
    bytes
}

impl Draft {
    pub fn of(artifact: &[u8], reader: &str) -> Self {
        let (statements, files): (Files, Files) =
            unpack(artifact).into_iter().partition(|(path, _)| path.starts_with(STATEMENTS));
        let said = statements.into_iter().map(|(path, bytes)| (path, payload(&bytes))).collect();
        Self { files, said, by: By::Worker, linked: true, reader: reader.to_owned(), later: Duration::ZERO }
    }

    pub fn first(&mut self) -> &mut Value {
        self.said.values_mut().next().unwrap()
    }

    pub fn last(&mut self) -> &mut Value {
        self.said.values_mut().next_back().unwrap()
    }

    /// Sets a member of the link of every statement.
    pub fn links(&mut self, member: &str, value: &Value) {
        for said in self.said.values_mut() {
            said["predicate"]["bakeline_chain"][member] = value.clone();
        }
    }

    /// Changes a member of the run that every statement names.
    pub fn runs(&mut self, member: &str, value: &Value) {
        for said in self.said.values_mut() {
            said["predicate"]["bakeline_chain"]["run"][member] = value.clone();
        }
    }

    /// Adds, replaces or removes a file, in the artifact and in the list of every statement.
    pub fn rewrite(&mut self, path: &str, bytes: Option<&[u8]>) {
        for said in self.said.values_mut() {
            let files = said["predicate"]["bakeline_chain"]["files"].as_array_mut().unwrap();
            files.retain(|file| file["name"] != path);
            if let Some(bytes) = bytes {
                let digest = json!({"sha256": Sha256::of(bytes).to_string()});
                files.push(json!({"name": path, "digest": digest}));
            }
        }
        match bytes {
            Some(bytes) => drop(self.files.insert(path.to_owned(), bytes.to_vec())),
            None => drop(self.files.remove(path)),
        }
    }

    /// Signs every statement and packs the artifact.
    pub async fn seal(mut self, worker: &Signer) -> Vec<u8> {
        let stranger = Signer::from_file(&repository("tests/golden/evidence/keys/p256-pkcs8.pem")).unwrap();
        let signer = if self.by == By::Worker { worker } else { &stranger };
        let keyid = if self.by == By::Stranger { &stranger } else { worker }.public_key().id();
        let mut previous: Option<Sha256> = None;
        for (path, mut said) in self.said {
            if self.linked {
                // A draft may have made the link something else on purpose.
                if let Some(chain) = said["predicate"]["bakeline_chain"].as_object_mut() {
                    chain.remove("previous");
                    if let Some(previous) = previous {
                        chain.insert("previous".into(), json!({"sha256": previous.to_string()}));
                    }
                }
            }
            let message = pae(IN_TOTO, &serde_json::to_vec(&said).unwrap());
            let sealed = envelope(&said, &keyid, &signer.sign(&message).await.unwrap());
            previous = Some(Sha256::of(&sealed));
            self.files.insert(path, sealed);
        }
        pack(&self.files)
    }
}
