//! Writes a layer instead of reading it from a file, for tars that are generated.

use std::fmt;
use std::io::{self, Write};
use std::thread::{self, JoinHandle};

use super::input::{LayerInput, LayerOptions};
use super::layer::{AddedLayer, NewLayer};
use crate::error::{Error, Result};
use crate::layout::handle::Layout;
use crate::workers::pipe::{PipeReader, PipeWriter, pipe};

/// A layer that is being written. [`LayerWriter::finish`] stages the layer. A writer that is dropped unfinished leaves
/// nothing behind.
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
    /// `Some` until the layer is finished.
    pipe: Option<PipeWriter>,
    /// The thread that stores the bytes from the pipe. `Some` until the layer is finished.
    storing: Option<JoinHandle<Result<NewLayer>>>,
    layout: Layout,
}

impl fmt::Debug for LayerWriter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LayerWriter").finish_non_exhaustive()
    }
}

impl LayerWriter {
    /// Begins a layer.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if no thread can be started.
    pub fn create(layout: &Layout, options: &LayerOptions) -> Result<Self> {
        Self::create_with(layout, options, LayerInput::from_reader)
    }

    /// Begins a layer whose tar this library writes: its entries need no check.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if no thread can be started.
    pub(crate) fn create_checked(layout: &Layout, options: &LayerOptions) -> Result<Self> {
        Self::create_with(layout, options, LayerInput::from_own_tar)
    }

    fn create_with(
        layout: &Layout,
        options: &LayerOptions,
        input: fn(&'static str, PipeReader) -> Result<LayerInput>,
    ) -> Result<Self> {
        let (pipe, reader) = pipe();
        let failed = Error::io("start a thread for", layout.path());
        let (stored_in, options) = (layout.clone(), options.clone());
        let store = move || {
            let input = input("the layer", reader)?;
            stored_in.prepare_layer(input, &options)?.store()
        };
        let storing = thread::Builder::new().spawn(store).map_err(failed)?;
        Ok(Self { pipe: Some(pipe), storing: Some(storing), layout: layout.clone() })
    }

    /// Ends the layer and stages it.
    ///
    /// # Errors
    ///
    /// Those of [`Layout::stage_layer`]. After an error the layout is unchanged.
    pub fn finish(mut self) -> Result<AddedLayer> {
        self.store()?.stage(&self.layout)
    }

    /// Ends the layer, to which nothing refers yet.
    ///
    /// # Errors
    ///
    /// Those of [`LayerWriter::finish`].
    pub fn finish_unnamed(mut self) -> Result<NewLayer> {
        self.store()
    }

    fn store(&mut self) -> Result<NewLayer> {
        if let Some(pipe) = self.pipe.take() {
            // If the storing thread has failed, joining it returns its error.
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
        // The thread sees an unfinished pipe as an error, and deletes the incomplete blob.
        drop(self.pipe.take());
        if let Some(storing) = self.storing.take() {
            drop(storing.join());
        }
    }
}

impl Write for LayerWriter {
    /// Writes a part of the layer. An error of kind `BrokenPipe` means that storing has failed; [`LayerWriter::finish`]
    /// returns the cause.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pipe().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pipe().flush()
    }
}
