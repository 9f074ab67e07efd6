//! Deflate streams (RFC 1951): reads them, and joins several into one.

mod bits;
mod codes;
mod inflate;
mod join;
mod tables;

pub(crate) use inflate::Inflater;
pub(crate) use join::{END, open_end, store};

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    /// Compresses bytes as zlib does.
    pub(super) fn deflated(level: u32, content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(level));
        encoder.write_all(content).expect("written");
        encoder.finish().expect("finished")
    }

    /// Compresses bytes as libdeflate does.
    pub(super) fn deflated_by_libdeflate(level: i32, content: &[u8]) -> Vec<u8> {
        let level = libdeflater::CompressionLvl::new(level).expect("a level");
        let mut compressor = libdeflater::Compressor::new(level);
        let mut stream = vec![0; compressor.deflate_compress_bound(content.len())];
        let length = compressor.deflate_compress(content, &mut stream).expect("it fits");
        stream.truncate(length);
        stream
    }

    /// Decompresses a stream as zlib does. `None` if it is not sound.
    pub(super) fn inflated(stream: &[u8]) -> Option<Vec<u8>> {
        let mut content = Vec::new();
        flate2::read::DeflateDecoder::new(stream).read_to_end(&mut content).ok()?;
        Some(content)
    }

    /// Samples: no bytes, one byte, a run, text, noise, skewed noise, all of these together, and bytes whose codes have
    /// all lengths.
    pub(super) fn samples() -> Vec<Vec<u8>> {
        let mut state = 1u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let noise: Vec<u8> = (0..200_000).map(|_| noise()).collect();
        let text: Vec<u8> = noise.iter().map(|byte| b"etaoin shrdlu,.\n"[usize::from(byte % 16)]).collect();
        let skewed: Vec<u8> = noise.iter().map(|byte| byte.leading_zeros() as u8 * byte).collect();
        let all = [text.as_slice(), &noise, &[0; 100_000], &skewed].concat();
        vec![vec![], vec![7], vec![0; 70_000], text, noise.clone(), skewed, all, long_codes(&noise)]
    }

    /// Bytes and distances, each half as frequent as the one before: the rare ones have codes of up to 15 bits.
    fn long_codes(noise: &[u8]) -> Vec<u8> {
        let mut content = noise[..40_000].to_vec();
        for four in noise.chunks_exact(4) {
            let zeros = u32::from_le_bytes(four.try_into().expect("four")).trailing_zeros();
            if four[3] < 128 {
                content.push(b'a' + zeros.min(20) as u8);
            } else {
                let distance = (3usize << zeros.min(13)) + usize::from(four[2] % 2);
                let start = content.len() - distance;
                content.extend_from_within(start..start + distance.min(5));
            }
        }
        content
    }
}
