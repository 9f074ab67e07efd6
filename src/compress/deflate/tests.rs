//! Tests of decompressing, and the samples of the whole module.

#![cfg(test)]

use std::io::{self, BufRead, BufReader, Read, Write};

use super::inflate::{HISTORY, LIMIT, ROOM};
use super::{Inflater, store};

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

/// Decompresses a stream that is followed by some bytes, from a reader and into a buffer of these sizes.
fn read(stream: &[u8], input: usize, output: usize) -> io::Result<Vec<u8>> {
    let after = *b"trailer.";
    let bytes = [stream, &after].concat();
    let mut inflater = Inflater::new(BufReader::with_capacity(input, bytes.as_slice()));
    let mut content = Vec::new();
    let mut buffer = vec![0; output];
    loop {
        let read = inflater.read(&mut buffer)?;
        content.extend(&buffer[..read]);
        if read == 0 {
            break;
        }
    }
    assert_eq!(inflater.read(&mut buffer)?, 0, "the end is the end");
    assert_eq!(inflater.read_after()?, after);
    Ok(content)
}

/// The sizes of readers and buffers: all ways through the code.
const SIZES: [(usize, usize); 5] = [(1, 1 << 20), (7, 100), (24, 70_000), (1 << 20, ROOM), (1 << 20, 1)];

#[test]
fn streams_of_other_compressors_are_read_from_any_reader_into_any_buffer() {
    for content in samples() {
        let of_zlib = [0, 1, 6].map(|level| deflated(level, &content));
        let of_libdeflate = [1, 12].map(|level| deflated_by_libdeflate(level, &content));
        let streams = of_zlib.into_iter().chain(of_libdeflate);
        for stream in streams {
            // Byte by byte takes long.
            let sizes = if content.len() > 100_000 { &SIZES[1..4] } else { &SIZES };
            for (input, output) in sizes {
                let read = read(&stream, *input, *output).expect("a sound stream");
                assert!(read == content, "{} bytes, {input}, {output}", content.len());
            }
        }
    }
}

#[test]
fn a_match_may_be_as_far_as_a_stream_allows() {
    let noise = &samples()[4][..HISTORY];
    // In a block with fixed codes: the length 258 and the distance 32,768, 200 times, and the end.
    let matched = [(8, 0b1010_0011), (5, 0b1_0111), (13, 8191)];
    let matches = bits(&[vec![(1, 1), (2, 1)], matched.repeat(200), vec![(7, 0)]].concat());
    for before in [0, 1, ROOM - 258, ROOM, LIMIT + 1] {
        let content = [vec![b'.'; before], noise.to_vec()].concat();
        let mut stream = Vec::new();
        store(&content, &mut stream);
        stream.extend(&matches);
        let content = [content.as_slice(), &noise.repeat(2)[..258 * 200]].concat();
        for (input, output) in SIZES {
            assert!(read(&stream, input, output).expect("a sound stream") == content, "{before} {input} {output}");
        }
    }
}

#[test]
fn each_cut_is_reported_as_one() {
    for content in samples() {
        let stream = deflated(6, &content);
        let step = stream.len() / 100 + 1;
        for cut in (0..stream.len()).step_by(step) {
            let mut inflater = Inflater::new(&stream[..cut]);
            let error = loop {
                match inflater.read(&mut [0; 1000]) {
                    Ok(0) => panic!("the end of a stream that was cut at {cut}"),
                    Ok(_) => {}
                    Err(error) => break error,
                }
            };
            assert_eq!(error.to_string(), "incomplete deflate stream", "{cut} of {}", stream.len());
        }
    }
}

#[test]
fn changed_streams_are_read_as_zlib_reads_them_or_not_at_all() {
    for content in samples() {
        let content = &content[..content.len().min(20_000)];
        let stream = deflated(6, content);
        for bit in (0..stream.len() * 8).filter(|bit| *bit < 800 || bit % 307 == 0) {
            let mut changed = stream.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let expected = inflated(&changed);
            let mut inflater = Inflater::new(changed.as_slice());
            let mut content = Vec::new();
            let mut buffer = vec![0; 100_000];
            let found = loop {
                match inflater.read(&mut buffer) {
                    Ok(0) => break Some(content),
                    Ok(read) => content.extend(&buffer[..read]),
                    Err(_) => break None,
                }
            };
            assert!(found == expected, "bit {bit} of {} bytes", stream.len());
        }
    }
}

/// Writes bits, the lowest of a number first.
fn bits(numbers: &[(u32, u32)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (at, bit) in
        numbers.iter().flat_map(|(count, number)| (0..*count).map(move |bit| number >> bit & 1)).enumerate()
    {
        if at % 8 == 0 {
            bytes.push(0);
        }
        *bytes.last_mut().expect("pushed") |= (bit as u8) << (at % 8);
    }
    bytes
}

/// The start of a last block whose lengths of codes have codes of one bit: 0 for the first of two, 1 for the second.
fn block(main: u32, distances: u32, first: usize, second: usize) -> Vec<(u32, u32)> {
    const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
    let mut numbers = vec![(1, 1), (2, 2), (5, main - 257), (5, distances - 1), (4, 15)];
    numbers.extend(ORDER.map(|length| (3, u32::from(length == first || length == second))));
    numbers
}

/// The lengths of codes after [`block`] for the lengths 0 and 1: 1 for these symbols.
fn lengths(ones: &[usize], total: usize) -> Vec<(u32, u32)> {
    (0..total).map(|symbol| (1, u32::from(ones.contains(&symbol)))).collect()
}

#[test]
fn codes_that_no_compressor_makes_are_refused() {
    let repeat = |bit: u32, count: usize| vec![(1, bit); count];
    // The length 0 has a code of one bit, and 1 has one of two.
    let mut incomplete = block(257, 1, 0, 1);
    incomplete[5 + 17] = (3, 2);
    incomplete.extend((0..258).map(|symbol| if [7, 256].contains(&symbol) { (2, 1) } else { (1, 0) }));
    incomplete.push((1, 1));
    let cases = [
        ("the end alone, no distance", [block(257, 1, 0, 1), lengths(&[256], 258), repeat(0, 1)].concat(), true),
        ("the end and a literal", [block(257, 1, 0, 1), lengths(&[7, 256], 258), repeat(1, 1)].concat(), true),
        ("the end and one distance", [block(257, 1, 0, 1), lengths(&[256, 257], 258), repeat(0, 1)].concat(), true),
        ("no end", [block(257, 1, 0, 1), lengths(&[7, 8], 258), repeat(0, 1)].concat(), false),
        ("three codes of one bit", [block(257, 1, 0, 1), lengths(&[7, 8, 256], 258)].concat(), false),
        ("three distances of one bit", [block(257, 3, 0, 1), lengths(&[7, 256, 257, 258, 259], 260)].concat(), false),
        ("too many literals and lengths", [block(287, 1, 0, 1), lengths(&[7, 256], 288), repeat(1, 1)].concat(), false),
        ("one code of two bits", [block(257, 1, 0, 2), lengths(&[256], 258), repeat(0, 2)].concat(), false),
        ("too many distances", [block(257, 31, 0, 1), lengths(&[7, 256], 288), repeat(1, 1)].concat(), false),
        ("codes of lengths that leave bits without a meaning", incomplete, false),
        ("a repetition of nothing", [block(257, 1, 0, 16), repeat(1, 1), repeat(0, 300)].concat(), false),
        ("the reserved kind of block", vec![(1, 1), (2, 3), (32, 0)], false),
        ("a stored length without its complement", vec![(1, 1), (2, 0), (5, 0), (16, 1), (16, 1), (8, 0)], false),
        ("a distance before the stream", vec![(1, 1), (2, 1), (7, 0x40), (5, 0), (7, 0)], false),
    ];
    for (name, numbers, is_sound) in cases {
        let stream = bits(&numbers);
        assert_eq!(inflated(&stream).is_some(), is_sound, "zlib: {name}");
        for (input, output) in SIZES {
            let read = read(&stream, input, output);
            assert_eq!(read.as_ref().ok(), is_sound.then(Vec::new).as_ref(), "{name}: {read:?}");
            if let Err(error) = read {
                assert_eq!(error.to_string(), "corrupt deflate stream", "{name}");
            }
        }
    }
}

#[test]
fn another_stream_does_not_see_the_bytes_of_the_one_before() {
    let first = deflated(6, &b"some text, ".repeat(5_000));
    // A match of three bytes, one byte before the stream.
    let second = bits(&[(1, 1), (2, 1), (7, 0x40), (5, 0), (7, 0)]);
    let stream = [first.as_slice(), b"trailer.", &second, b"trailer."].concat();
    let mut inflater = Inflater::new(stream.as_slice());
    let mut buffer = vec![0; 1 << 20];
    while inflater.read(&mut buffer).expect("a sound stream") > 0 {}
    assert_eq!(&inflater.read_after::<8>().expect("it follows"), b"trailer.");
    inflater.restart();
    assert_eq!(inflater.read(&mut buffer).expect_err("nothing is there").to_string(), "corrupt deflate stream");
}

#[test]
fn the_content_before_a_fault_is_read_before_its_error() {
    let content = b"some text";
    let mut stream = Vec::new();
    store(content, &mut stream);
    stream.push(0b111);
    let mut inflater = Inflater::new(stream.as_slice());
    let mut buffer = [0; 100];
    assert_eq!(inflater.read(&mut buffer).expect("content"), content.len());
    assert_eq!(&buffer[..content.len()], content);
    assert_eq!(inflater.read(&mut buffer).expect_err("a fault").to_string(), "corrupt deflate stream");
}

#[test]
fn blocks_with_fixed_codes_are_read_after_others() {
    // Empty blocks of each kind: fixed, dynamic, fixed, fixed, and the last one.
    let dynamic = [block(257, 1, 0, 1), lengths(&[7, 256], 258), vec![(1, 1)]].concat();
    let fixed = [(1, 0), (2, 1), (7, 0)];
    let mut numbers = [fixed.to_vec(), dynamic, fixed.repeat(2), vec![(1, 1), (2, 1), (8, 0x91), (7, 0)]].concat();
    numbers[fixed.len()] = (1, 0);
    // The literal `Y`: the codes of literals begin at 0x30.
    assert_eq!(inflated(&bits(&numbers)).as_deref(), Some(&b"Y"[..]));
    assert_eq!(read(&bits(&numbers), 1, 100).expect("a sound stream"), b"Y");
}

#[test]
fn the_end_of_the_reader_is_the_end() {
    /// A reader that has more to give after it said that it has not.
    struct Growing(u8);
    impl Read for Growing {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0 = self.0.wrapping_add(1);
            buffer[0] = [0, 5, 0, 0xfa, 0xff][usize::from(self.0).min(5) - 1];
            Ok(usize::from(self.0 < 6))
        }
    }
    let mut inflater = Inflater::new(BufReader::with_capacity(1, Growing(0)));
    let error = inflater.read(&mut [0; 100]).expect_err("it ends in a stored block");
    assert_eq!(error.to_string(), "incomplete deflate stream");
}

#[test]
fn an_error_of_the_reader_is_passed_on() {
    struct Broken<'a>(&'a [u8]);
    impl Read for Broken<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() { Err(io::Error::other("broken")) } else { self.0.read(buffer) }
        }
    }
    let stream = deflated(6, &samples()[3]);
    let mut inflater = Inflater::new(BufReader::new(Broken(&stream[..stream.len() / 2])));
    let error = io::copy(&mut Reading(&mut inflater), &mut io::sink()).expect_err("it is broken");
    assert_eq!(error.to_string(), "broken");
}

struct Reading<'a, R>(&'a mut Inflater<R>);

impl<R: BufRead> Read for Reading<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}
