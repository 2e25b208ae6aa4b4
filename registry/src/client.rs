//! A registry over the network. Each answer comes within a time, and nothing of a bundle is held in memory.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use oci_client::client::{BlobResponse, ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::manifest::{OCI_IMAGE_MEDIA_TYPE, OciDescriptor};
use oci_client::{Client, Reference, RegistryOperation};
use tokio::time::timeout;
use tokio_stream::StreamExt;

use crate::artifact::{Artifact, LARGEST_MANIFEST, Offered};
use crate::verdict::{self, EMPTY, Verdict};
use crate::{Credentials, RegistryError, Repository};

/// A registry that says nothing for so long is given up.
const SILENCE: Duration = Duration::from_secs(20);
/// Anything but a blob comes within it.
const ANSWER: Duration = Duration::from_secs(30);
/// Bytes that are sent at once.
const PIECE: usize = 1 << 20;
/// Bytes that are written before they are brought to the disk, so that no great load of them waits in memory.
const UNSYNCED: u64 = 4 << 20;

/// A repository of a registry.
pub struct Registry {
    client: Client,
    credentials: Credentials,
    repository: Repository,
}

impl Registry {
    /// The repository; its tag is the one that is pushed and pulled. Without TLS if it is `plain`.
    ///
    /// # Errors
    /// When the system's certificates cannot be used.
    pub fn new(repository: Repository, credentials: Credentials, plain: bool) -> Result<Self, RegistryError> {
        let config = ClientConfig {
            protocol: if plain { ClientProtocol::Http } else { ClientProtocol::Https },
            read_timeout: Some(SILENCE),
            connect_timeout: Some(SILENCE),
            user_agent: concat!("nervelight/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        let failed = |error| RegistryError::of(error, &repository.host, &repository.to_string());
        Ok(Self { client: Client::try_from(config).map_err(failed)?, credentials, repository })
    }

    /// Where this is.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Puts a bundle under the repository's tag, which names it when all of it is there. `advance` hears how many bytes of
    /// the tar were sent. What the registry has already is not sent again.
    ///
    /// # Errors
    /// When the registry cannot be reached, or refuses.
    pub async fn push(
        &self,
        artifact: &Artifact,
        advance: impl Fn(u64) + Send + Sync + 'static,
    ) -> Result<(), RegistryError> {
        let reference = self.log_in(&self.repository, RegistryOperation::Push).await?;
        self.put_bytes(&reference, &artifact.config, &artifact.config_digest).await?;
        if !self.has(&reference, &artifact.tar_digest).await? {
            let io = |reason| RegistryError::Io { path: "the bundle's tar".into(), reason };
            let tar = artifact.tar.try_clone().map_err(io)?;
            let bytes = artifact.bytes;
            let pieces = (0..bytes.div_ceil(PIECE as u64)).map(move |piece| {
                let from = piece * PIECE as u64;
                let mut buffer = vec![0; PIECE.min((bytes - from) as usize)];
                tar.read_exact_at(&mut buffer, from)?;
                advance(buffer.len() as u64);
                Ok(Bytes::from(buffer))
            });
            let stream = tokio_stream::iter(pieces);
            let sent = self.client.push_blob_stream(&reference, stream, &artifact.tar_digest, Some(bytes));
            sent.await.map_err(|error| self.failed(error))?;
        }
        self.put_manifest(&reference, artifact.manifest.clone()).await
    }

    /// The bundle that the repository's tag names.
    ///
    /// # Errors
    /// When the registry cannot be reached, there is no such tag, or it names no bundle.
    pub async fn offered(&self) -> Result<Offered, RegistryError> {
        let place = self.repository.to_string();
        let reference = self.log_in(&self.repository, RegistryOperation::Pull).await?;
        Offered::read(&self.manifest(&reference).await?, &place)
    }

    /// Fetches the tar of a bundle into the file `into`, from where an earlier attempt left off. Whoever reads the file
    /// afterwards has the very bytes that were offered. `at` hears how many bytes there are.
    ///
    /// # Errors
    /// When the registry cannot be reached, or sends other bytes: then the file is removed.
    pub async fn pull(
        &self,
        offered: &Offered,
        into: &Path,
        mut at: impl FnMut(u64),
    ) -> Result<(), RegistryError> {
        let io = |reason| RegistryError::Io { path: into.into(), reason };
        let mut file =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).open(into).map_err(io)?;
        let mut have = file.metadata().map_err(io)?.len();
        if have > offered.bytes {
            file.set_len(0).map_err(io)?;
            have = 0;
        }
        if have < offered.bytes {
            let (mut stream, from) = self.stream(&offered.layer, have).await?;
            file.set_len(from).map_err(io)?;
            file.seek(SeekFrom::Start(from)).map_err(io)?;
            (have, _) = (from, at(from));
            let mut synced = have;
            while let Some(piece) = self.next(&mut stream).await? {
                have += piece.len() as u64;
                if have > offered.bytes {
                    std::fs::remove_file(into).map_err(io)?;
                    return Err(self.damaged(format!("it has more than the {} bytes offered", offered.bytes)));
                }
                file.write_all(&piece).map_err(io)?;
                if have - synced >= UNSYNCED {
                    file.sync_data().map_err(io)?;
                    synced = have;
                }
                at(have);
            }
        }
        if have < offered.bytes {
            return Err(self.unreachable(format!("it sent {have} of {} bytes", offered.bytes)));
        }
        file.sync_all().map_err(io)?;
        let whole = File::open(into).map_err(io)?;
        offered.check(&whole, &self.repository.to_string()).inspect_err(|_| {
            // The next attempt begins anew.
            let _ = std::fs::remove_file(into);
        })
    }

    /// Says what became of a bundle on a cart, for others to hear.
    ///
    /// # Errors
    /// When the registry cannot be reached, or refuses.
    pub async fn publish(&self, verdict: &Verdict) -> Result<(), RegistryError> {
        let repository = self.repository.tagged(verdict.tag());
        let reference = self.log_in(&repository, RegistryOperation::Push).await?;
        self.put_bytes(&reference, EMPTY, &verdict::empty_digest()).await?;
        let failed =
            |error: serde_json::Error| RegistryError::Io { path: "a verdict".into(), reason: error.into() };
        self.put_manifest(&reference, serde_json::to_vec(&verdict.manifest()).map_err(failed)?).await
    }

    /// What `cart` said about the bundle `digest`; none if it said nothing yet.
    ///
    /// # Errors
    /// When the registry cannot be reached.
    pub async fn verdict(&self, digest: &str, cart: &str) -> Result<Option<Verdict>, RegistryError> {
        let repository = self.repository.tagged(verdict::tag(digest, cart));
        let reference = self.log_in(&repository, RegistryOperation::Pull).await?;
        match self.manifest(&reference).await {
            Ok(manifest) => Ok(Verdict::read(&manifest, digest, cart)),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn log_in(&self, at: &Repository, to: RegistryOperation) -> Result<Reference, RegistryError> {
        let reference = at.reference();
        let client = self.client.clone();
        self.in_time(client.auth(&reference, self.credentials.auth(), to)).await?;
        Ok(reference)
    }

    async fn manifest(&self, reference: &Reference) -> Result<Bytes, RegistryError> {
        let pulled =
            self.client.pull_manifest_raw(reference, self.credentials.auth(), &[OCI_IMAGE_MEDIA_TYPE]);
        match self.in_time(pulled).await {
            Ok((manifest, _)) if manifest.len() as u64 > LARGEST_MANIFEST => {
                Err(self.damaged("its manifest is too large".into()))
            }
            Ok((manifest, _)) => Ok(manifest),
            // The tag that was asked for, which need not be the repository's own.
            Err(RegistryError::Absent(_)) => Err(RegistryError::Absent(format!("oci://{reference}"))),
            Err(error) => Err(error),
        }
    }

    async fn has(&self, reference: &Reference, digest: &str) -> Result<bool, RegistryError> {
        self.in_time(self.client.blob_exists(reference, digest)).await
    }

    async fn put_bytes(
        &self,
        reference: &Reference,
        bytes: &[u8],
        digest: &str,
    ) -> Result<(), RegistryError> {
        if !self.has(reference, digest).await? {
            self.in_time(self.client.push_blob(reference, bytes.to_vec(), digest)).await?;
        }
        Ok(())
    }

    async fn put_manifest(&self, reference: &Reference, manifest: Vec<u8>) -> Result<(), RegistryError> {
        let kind = "application/vnd.oci.image.manifest.v1+json".parse();
        let kind = kind.map_err(|_| self.unreachable("no media type".into()))?;
        self.in_time(self.client.push_manifest_raw(reference, manifest, kind)).await?;
        Ok(())
    }

    /// A blob from byte `from` on, or from the beginning where the registry cannot do that; and where it begins.
    async fn stream(&self, blob: &OciDescriptor, from: u64) -> Result<(Blob, u64), RegistryError> {
        let reference = self.repository.reference();
        let asked = self.client.pull_blob_stream_partial(&reference, blob, from, None);
        Ok(match self.in_time(asked).await? {
            BlobResponse::Full(stream) => (stream.stream, 0),
            BlobResponse::Partial(stream) => (stream.stream, from),
        })
    }

    async fn next(&self, stream: &mut Blob) -> Result<Option<Bytes>, RegistryError> {
        let piece = timeout(SILENCE, stream.next()).await;
        let piece = piece.map_err(|_| self.unreachable(format!("it sends nothing for {SILENCE:?}")))?;
        piece.transpose().map_err(|error| self.unreachable(error.to_string()))
    }

    async fn in_time<T>(
        &self,
        answer: impl Future<Output = Result<T, OciDistributionError>>,
    ) -> Result<T, RegistryError> {
        match timeout(ANSWER, answer).await {
            Ok(answer) => answer.map_err(|error| self.failed(error)),
            Err(_) => Err(self.unreachable(format!("it gives no answer for {ANSWER:?}"))),
        }
    }

    fn failed(&self, error: OciDistributionError) -> RegistryError {
        RegistryError::of(error, &self.repository.host, &self.repository.to_string())
    }

    fn unreachable(&self, reason: String) -> RegistryError {
        RegistryError::Unreachable { host: self.repository.host.clone(), reason }
    }

    fn damaged(&self, reason: String) -> RegistryError {
        RegistryError::Damaged { place: self.repository.to_string(), reason }
    }
}

/// Bytes as they come.
type Blob = std::pin::Pin<Box<dyn tokio_stream::Stream<Item = io::Result<Bytes>> + Send>>;
