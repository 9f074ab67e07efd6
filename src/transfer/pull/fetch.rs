//! Fetching one blob: from where an earlier try left off, until its digest is right.

use std::sync::{Mutex, MutexGuard};

use super::incoming::{Incoming, IncomingBlob, is_out_of_space};
use crate::error::{Error, RemoteError, Result};
use crate::layout::handle::Layout;
use crate::layout::site::Site;
use crate::oci::Descriptor;
use crate::remote::client::BlobBody;
use crate::remote::first_fault::FirstFault;
use crate::remote::retry::{Failure, Tries};
use crate::remote::source::RemoteDocuments;
use crate::transfer::event::{TransferEvent, TransferObserver};

/// After so many bytes more, a download may fail as often again.
const PROGRESS: u64 = 1024 * 1024;

/// The number of bytes that are read at a time.
const PIECE: usize = 256 * 1024;

/// What became of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DownloadAction {
    /// All of it was fetched.
    Downloaded,
    /// The rest of it was fetched, or another process fetched it.
    Resumed,
    /// The layout had it.
    Skipped,
    /// It was left out: the registry does not have it, only its URLs.
    LeftOut,
}

/// The downloads of one pull.
pub(super) struct Downloads<'a> {
    pub(super) documents: &'a RemoteDocuments,
    pub(super) incoming: &'a Incoming<'a>,
    pub(super) allow_foreign: bool,
    pub(super) observer: TransferObserver<'a>,
    pub(super) bytes: std::sync::atomic::AtomicU64,
    pub(super) first: &'a FirstFault,
    /// The blobs that are complete. Their files stay locked.
    pub(super) done: Mutex<Vec<IncomingBlob>>,
}

impl Downloads<'_> {
    /// Returns the blobs that are complete.
    pub(super) fn done(&self) -> MutexGuard<'_, Vec<IncomingBlob>> {
        self.done.lock().expect("no thread panicked")
    }

    /// Fetches a blob.
    ///
    /// # Errors
    ///
    /// [`RemoteError::Download`]; [`Error::DigestMismatch`]; [`Error::Io`].
    pub(super) fn fetch(&self, descriptor: &Descriptor, site: &Site) -> Result<(DownloadAction, Option<IncomingBlob>)> {
        let mut blob = self.incoming.blob(descriptor, &|| self.first.is_set())?;
        let at = blob.size();
        // Another process may have fetched it while this one waited.
        if at == 0
            && let Some(layout) = Layout::find(site)?
            && layout.sound_blob(&descriptor.digest, descriptor.size, |_| ()).is_some()
        {
            blob.delete();
            (self.observer)(TransferEvent::Present(descriptor));
            return Ok((DownloadAction::Skipped, None));
        }
        let action = if at > 0 { DownloadAction::Resumed } else { DownloadAction::Downloaded };
        (self.observer)(match at {
            0 => TransferEvent::Started(descriptor),
            at => TransferEvent::Resumed(descriptor, at),
        });
        (self.observer)(TransferEvent::Bytes(at));
        let mut transfer = Transfer { all: self, descriptor, blob: &mut blob, foreign: None };
        let result = transfer.run();
        if let Err(error) = &result {
            // Nothing came that a later run could go on with, or it would not go on.
            let is_refused = if self.first.is_set() { self.first.is(|fault| !is_cut(fault)) } else { !is_cut(error) };
            if blob.size() == 0 || is_refused {
                blob.delete();
            }
        }
        if !result? {
            blob.delete();
            (self.observer)(TransferEvent::LeftOut(descriptor));
            return Ok((DownloadAction::LeftOut, None));
        }
        (self.observer)(TransferEvent::Done(descriptor));
        Ok((action, Some(blob)))
    }
}

/// Returns whether an error ended a pull that may go on later: nothing was refused.
pub(super) fn is_cut(error: &Error) -> bool {
    matches!(error, Error::Remote(RemoteError::Download { source, .. }) if is_cut_off(source))
}

/// Returns whether an error says that the disk is full.
pub(super) fn is_full(error: &Error) -> bool {
    match error {
        Error::Io { source, .. } | Error::Blob { source, .. } => is_out_of_space(source),
        _ => false,
    }
}

fn is_cut_off(error: &RemoteError) -> bool {
    match error {
        RemoteError::Unreachable { .. } | RemoteError::Later { .. } | RemoteError::Answer { .. } => true,
        RemoteError::Status { status, .. } => *status >= 500 || matches!(status, 408 | 425 | 429),
        RemoteError::Urls { source, .. } => is_cut_off(source),
        _ => false,
    }
}

/// Returns whether the registry does not have a blob.
fn is_absent(error: &Error) -> bool {
    let source = match error {
        Error::Remote(RemoteError::Download { source, .. }) => source,
        _ => return false,
    };
    matches!(**source, RemoteError::BlobNotFound { .. })
}

/// One blob on its way.
struct Transfer<'t> {
    all: &'t Downloads<'t>,
    descriptor: &'t Descriptor,
    blob: &'t mut IncomingBlob,
    /// The number of the URL from which it is fetched, if the registry does not have it.
    foreign: Option<usize>,
}

/// Why a try to fetch a blob ended.
enum Ended {
    Remote(Failure),
    Local(Error),
}

impl Transfer<'_> {
    /// Fetches the blob, and verifies it. Returns whether it could be had: one with URLs need not be.
    fn run(&mut self) -> Result<bool> {
        let found = self.fetch_from_one();
        let urls = self.descriptor.urls.as_deref().unwrap_or_default();
        match found {
            Err(error) if !urls.is_empty() && is_absent(&error) => {}
            found => return found.map(|()| true),
        }
        if !self.all.allow_foreign {
            return Ok(false);
        }
        let mut number = 0;
        loop {
            self.foreign = Some(number);
            number += 1;
            match self.fetch_from_one() {
                Ok(()) => return Ok(true),
                // The fault may be of that place alone.
                Err(Error::Remote(_) | Error::DigestMismatch { .. })
                    if number < urls.len() && !self.all.first.is_set() =>
                {
                    self.again()?;
                }
                Err(Error::Remote(RemoteError::Download { digest, kept, source })) if number > 1 => {
                    let source = Box::new(RemoteError::Urls { tried: number, source });
                    return Err(RemoteError::Download { digest, kept, source }.into());
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Fetches the blob from the registry, or from one URL, and verifies it.
    fn fetch_from_one(&mut self) -> Result<()> {
        let client = self.all.documents.client();
        let mut tries = client.tries();
        let mut was_wrong = false;
        loop {
            if self.blob.size() == self.descriptor.size {
                match self.blob.verify() {
                    Ok(()) => return Ok(()),
                    Err(error) if was_wrong => {
                        self.blob.delete();
                        return Err(error);
                    }
                    // Once more from the start: what an earlier run left may be wrong.
                    Err(_) => {
                        was_wrong = true;
                        self.again()?;
                    }
                }
            }
            let before = self.blob.size();
            let failure = match self.fetch_rest() {
                Ok(()) => continue,
                Err(Ended::Local(error)) => return Err(error),
                Err(Ended::Remote(failure)) => failure,
            };
            if self.blob.size() >= before.saturating_add(PROGRESS) {
                tries = client.tries();
            }
            self.pause(&mut tries, failure)?;
        }
    }

    fn pause(&self, tries: &mut Tries, failure: Failure) -> Result<()> {
        self.all.documents.client().pause(tries, failure).map_err(|error| {
            let digest = self.descriptor.digest.clone();
            RemoteError::Download { digest, kept: 0, source: Box::new(error) }.into()
        })
    }

    /// Fetches what is missing, once.
    fn fetch_rest(&mut self) -> Result<(), Ended> {
        let documents = self.all.documents;
        let client = documents.client();
        let Descriptor { digest, size, .. } = self.descriptor;
        let at = self.blob.size();
        let foreign = self.foreign.and_then(|number| self.descriptor.urls.as_ref()?.get(number));
        let mut body = match foreign {
            Some(url) => client.get_foreign(url),
            None => client.get_blob(documents.repository(), (digest, *size), at, documents.scope()),
        }
        .map_err(Ended::Remote)?;
        if body.start != at {
            debug_assert_eq!(body.start, 0, "a body begins where it was asked to, or at the start");
            self.again().map_err(Ended::Local)?;
            // Another process may have filled a part of the new file: the rest is asked for.
            if self.blob.size() > 0 {
                return Ok(());
            }
        }
        self.read(&mut body)
    }

    fn read(&mut self, body: &mut BlobBody) -> Result<(), Ended> {
        let client = self.all.documents.client();
        let Descriptor { digest, size, .. } = self.descriptor;
        let mut buffer = vec![0; PIECE];
        loop {
            if self.all.first.is_set() {
                let stopped = Error::io("fetch", digest.as_str());
                return Err(Ended::Local(stopped(std::io::ErrorKind::Interrupted.into())));
            }
            let read = client.read_blob(body, &mut buffer).map_err(Ended::Remote)?;
            let have = self.blob.size();
            if read == 0 {
                return if have == *size { Ok(()) } else { Err(Ended::Remote(client.cut_short(digest, have, *size))) };
            }
            if read as u64 > size - have {
                self.blob.delete();
                return Err(Ended::Remote(client.too_long(digest, *size)));
            }
            self.blob.write(&buffer[..read]).map_err(Ended::Local)?;
            self.all.bytes.fetch_add(read as u64, std::sync::atomic::Ordering::Relaxed);
            (self.all.observer)(TransferEvent::Bytes(read as u64));
        }
    }

    /// Begins from the start.
    fn again(&mut self) -> Result<()> {
        (self.all.observer)(TransferEvent::Again(self.blob.size()));
        self.all.incoming.restart(self.blob, self.descriptor, &|| self.all.first.is_set())?;
        (self.all.observer)(TransferEvent::Bytes(self.blob.size()));
        Ok(())
    }
}
