//! Layers that are written, not read: the way for tars that are being made.

use std::fmt;
use std::io::{self, Write};
use std::thread::{self, JoinHandle};

use super::input::{LayerInput, LayerOptions};
use super::layer::AddedLayer;
use crate::error::{Error, Result};
use crate::layout::handle::Layout;
use crate::workers::pipe::{PipeWriter, pipe};

/// A layer that is being written. It is staged when it is finished; dropped before that it leaves nothing.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("my-image");
/// use regshape::build::{LayerOptions, LayerWriter};
/// use regshape::layout::Layout;
///
/// let layout = Layout::init(&path)?;
/// let mut tar = tar::Builder::new(LayerWriter::create(&layout, &LayerOptions::default())?);
/// let mut header = tar::Header::new_ustar();
/// header.set_size(5);
/// tar.append_data(&mut header, "hello", &b"world"[..])?;
/// let added = tar.into_inner()?.finish()?;
/// assert_eq!(layout.read_stage()?.layers, [added.layer]);
/// # Ok(())
/// # }
/// ```
pub struct LayerWriter {
    /// There until the layer is finished, as is the thread.
    pipe: Option<PipeWriter>,
    /// Stores the bytes from the pipe.
    storing: Option<JoinHandle<Result<AddedLayer>>>,
}

impl fmt::Debug for LayerWriter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LayerWriter").finish_non_exhaustive()
    }
}

impl LayerWriter {
    /// Begins a layer of a layout.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], if the system has no thread for it.
    pub fn create(layout: &Layout, options: &LayerOptions) -> Result<Self> {
        let (pipe, reader) = pipe();
        let failed = Error::io("start a thread for", layout.path());
        let (layout, options) = (layout.clone(), options.clone());
        let store = move || {
            let input = LayerInput::from_reader("the layer", reader)?;
            layout.prepare_layer(input, &options)?.stage()
        };
        let storing = thread::Builder::new().spawn(store).map_err(failed)?;
        Ok(Self { pipe: Some(pipe), storing: Some(storing) })
    }

    /// Ends the layer and stages it.
    ///
    /// # Errors
    ///
    /// Those of [`Layout::stage_layer`]. After an error the layout is as it was.
    pub fn finish(mut self) -> Result<AddedLayer> {
        if let Some(pipe) = self.pipe.take() {
            // If nothing takes the bytes any more, the other thread says why.
            let _ = pipe.finish();
        }
        let storing = self.storing.take().expect("it is finished once");
        storing.join().expect("the thread does not panic")
    }

    fn pipe(&mut self) -> &mut PipeWriter {
        self.pipe.as_mut().expect("it is not finished")
    }
}

impl Drop for LayerWriter {
    fn drop(&mut self) {
        // The thread treats that as an error, and deletes its output.
        drop(self.pipe.take());
        if let Some(storing) = self.storing.take() {
            drop(storing.join());
        }
    }
}

impl Write for LayerWriter {
    /// Writes a part of the layer. An error of the kind `BrokenPipe` says that storing has failed: [`LayerWriter::finish`]
    /// returns why.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pipe().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pipe().flush()
    }
}
