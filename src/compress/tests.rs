//! Tests of the whole module.

#![cfg(test)]

use std::io::{self, Read as _, Write as _};

use super::*;
use crate::oci::Digest;
use crate::workers::crew::tests::with_threads;

fn compressed(compression: Compression, content: &[u8], jobs: usize) -> Vec<u8> {
    let mut rest = content;
    let mut stream = Vec::new();
    let read = |block: &mut Vec<u8>, size: usize| {
        let (next, after) = rest.split_at(size.min(rest.len()));
        block.clear();
        block.extend(next);
        rest = after;
        Ok::<_, io::Error>(())
    };
    let write = |bytes: &[u8]| {
        stream.extend(bytes);
        Ok(())
    };
    compress(compression, jobs, read, write, &|_| ()).expect("compressed");
    stream
}

/// Compressible text, but not a trivial run.
fn sample() -> Vec<u8> {
    (0u32..300_000).flat_map(|n| (n.wrapping_mul(2_654_435_761) >> 22).to_le_bytes()).collect()
}

/// Incompressible bytes.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 1u64;
    let byte = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..size).map(byte).collect()
}

/// [`sample`] with an incompressible part in the middle.
fn mixed_sample() -> Vec<u8> {
    [sample(), noise(1_500_000), sample()].concat()
}

#[test]
fn the_bytes_of_a_layer_are_a_promise() {
    // A change of these digests needs a reason in the changelog.
    let digest = |format: CompressFormat| {
        Digest::sha256_of(&compressed(format.into(), &mixed_sample(), 2)).encoded()[..16].to_owned()
    };
    assert_eq!([digest(CompressFormat::Gzip), digest(CompressFormat::Zstd)], ["eadee5de489768b8", "34e7ac406e6e73de"]);
}

#[test]
fn output_does_not_depend_on_the_threads_and_reads_back() {
    let contents = [vec![], vec![7], sample(), mixed_sample(), mixed_sample()[..2 << 20].to_vec()];
    for compression in [CompressFormat::Gzip.into(), CompressFormat::Zstd.into()] {
        for content in &contents {
            let stream = compressed(compression, content, 1);
            assert_eq!(Encoding::of(&stream), compression.format().encoding());
            for jobs in [2, 3, 7] {
                assert!(compressed(compression, content, jobs) == stream, "{compression:?} with {jobs} threads");
            }
            let mut read = Vec::new();
            let mut stream = decoder(compression.format().encoding(), stream.as_slice()).expect("a decoder");
            stream.read_to_end(&mut read).expect("sound");
            assert!(read == *content, "{compression:?}, {} bytes", content.len());
        }
    }
}

#[test]
fn output_does_not_depend_on_the_threads_where_the_content_ends_with_a_job() {
    let noise = noise(20 << 20);
    for size in [2 << 20, 10 << 20, 18 << 20] {
        let content = &noise[..size];
        for level in [1, 3] {
            let compression = Compression::new(CompressFormat::Zstd, Some(level)).expect("a level");
            let stream = compressed(compression, content, 1);
            for jobs in [1, 2, 7, 16] {
                assert!(compressed(compression, content, jobs) == stream, "{size} at {level} with {jobs} threads");
            }
            let mut streamed = Vec::new();
            let mut compressing = Compressing::new(compression, 2, &mut streamed);
            compressing.write_all(content).expect("compressed");
            compressing.finish().expect("finished");
            assert!(streamed == stream, "{size} at {level}");
        }
    }
}

#[test]
fn output_does_not_depend_on_the_pieces() {
    for format in [CompressFormat::Gzip, CompressFormat::Zstd] {
        for content in [vec![], vec![7], mixed_sample(), mixed_sample()[..2 << 20].to_vec()] {
            for size in [1 << 12, 3_000_001] {
                let mut stream = Vec::new();
                let mut compressing = Compressing::new(format.into(), 2, &mut stream);
                content.chunks(size).for_each(|piece| compressing.write_all(piece).expect("compressed"));
                compressing.finish().expect("finished");
                assert!(stream == compressed(format.into(), &content, 2), "{format:?}, {} bytes", content.len());
            }
        }
    }
}

#[test]
fn output_is_the_same_with_fewer_threads() {
    for format in [CompressFormat::Gzip, CompressFormat::Zstd] {
        for content in [sample(), mixed_sample(), mixed_sample()[..2 << 20].to_vec()] {
            let stream = compressed(format.into(), &content, 3);
            for threads in 0..4 {
                let limited = with_threads(threads, || compressed(format.into(), &content, 3));
                assert!(limited == stream, "{format:?}, {} bytes with {threads} threads", content.len());
            }
        }
    }
}

#[test]
fn every_level_gives_one_gzip_member_or_zstd_frame() {
    for format in [CompressFormat::Gzip, CompressFormat::Zstd] {
        for level in 1..=format.highest_level() {
            let compression = Compression::new(format, Some(level)).expect("a level");
            let stream = compressed(compression, &sample(), 2);
            let mut read = Vec::new();
            match format {
                // This reader stops at the end of the first member and leaves the rest.
                CompressFormat::Gzip => {
                    let mut reader = flate2::bufread::GzDecoder::new(stream.as_slice());
                    reader.read_to_end(&mut read).expect("sound");
                    assert!(reader.into_inner().is_empty(), "level {level}");
                }
                CompressFormat::Zstd => {
                    let mut reader = zstd::Decoder::with_buffer(stream.as_slice()).expect("a decoder").single_frame();
                    reader.read_to_end(&mut read).expect("sound");
                    assert!(reader.finish().is_empty(), "level {level}");
                }
            }
            assert!(read == sample(), "{format:?} {level}");
        }
        assert!(Compression::new(format, Some(0)).is_err());
        assert!(Compression::new(format, Some(format.highest_level() + 1)).is_err());
    }
}

#[test]
fn incompressible_content_hardly_grows() {
    let noise = &mixed_sample()[sample().len()..][..1_500_000];
    for format in [CompressFormat::Gzip, CompressFormat::Zstd] {
        let stream = compressed(format.into(), noise, 2);
        assert!(stream.len() < noise.len() + noise.len() / 3_000, "{format:?}: {}", stream.len());
    }
}

#[test]
fn an_error_of_the_reader_or_the_writer_ends_everything_and_is_the_one_reported() {
    for format in [CompressFormat::Gzip, CompressFormat::Zstd] {
        let endless = |block: &mut Vec<u8>, size: usize| {
            block.resize(size, 1);
            Ok(())
        };
        let failure = compress(format.into(), 2, endless, |_| Err("full"), &|_| ());
        assert!(matches!(failure, Err(Failure::Caller("full"))));
        let mut blocks = 0;
        let failing = |block: &mut Vec<u8>, size: usize| {
            blocks += 1;
            block.resize(size, 1);
            if blocks < 20 { Ok(()) } else { Err("broken") }
        };
        let failure = compress(format.into(), 2, failing, |_| Ok(()), &|_| ());
        assert!(matches!(failure, Err(Failure::Caller("broken"))));
    }
}

#[test]
fn members_and_frames_are_read_as_one_up_to_the_last_byte() {
    for format in [CompressFormat::Gzip, CompressFormat::Zstd] {
        let whole = compressed(format.into(), &sample(), 2);
        let twice = [whole.as_slice(), whole.as_slice()].concat();
        let mut read = Vec::new();
        decoder(format.encoding(), twice.as_slice()).expect("a decoder").read_to_end(&mut read).expect("sound");
        assert!(read == sample().repeat(2), "{format:?}");
        for broken in [&whole[..whole.len() - 1], &[whole.as_slice(), b"garbage"].concat()] {
            let mut decoder = decoder(format.encoding(), broken).expect("a decoder");
            assert!(io::copy(&mut decoder, &mut io::sink()).is_err(), "{format:?}");
        }
    }
}
