use std::{borrow::Cow, io::Read};

use alloy_primitives::Bytes;

use crate::{MAX_MODULE_SIZE, ModuleError};

/// First bytes of every WASM module.
pub const MODULE_MAGIC: [u8; 4] = *b"\0asm";

/// First bytes of the code of a WASM program: the discriminant of Arbitrum Stylus. To the EVM it
/// begins with an invalid opcode, and EIP-3541 keeps EVM contracts from having such code.
pub const PROGRAM_PREFIX: [u8; 3] = [0xef, 0xf0, 0x00];

/// How the module follows the prefix: one byte after it.
mod form {
    /// Stylus' dictionary 0: brotli without a dictionary.
    pub(super) const BROTLI: u8 = 0x00;
    /// The module as it is. Not a form of Stylus, whose dictionary numbers count up from 0.
    pub(super) const PLAIN: u8 = 0xff;
}

/// Whether an account's code is a WASM program.
pub fn is_program(code: &[u8]) -> bool {
    code.starts_with(&PROGRAM_PREFIX)
}

/// The code that a program with this module has: prefix, form byte, module as it is.
///
/// The module is not compressed, because then the code, and with it the state root, would depend
/// on the version of a compressor.
pub fn stored_code(module: &[u8]) -> Bytes {
    let mut code = Vec::with_capacity(PROGRAM_PREFIX.len() + 1 + module.len());
    code.extend_from_slice(&PROGRAM_PREFIX);
    code.push(form::PLAIN);
    code.extend_from_slice(module);
    code.into()
}

/// The module in a program's code. At most [`MAX_MODULE_SIZE`] bytes, whatever the code says.
pub(crate) fn module_of(code: &[u8]) -> Result<Cow<'_, [u8]>, ModuleError> {
    let rest = code
        .strip_prefix(&PROGRAM_PREFIX)
        .ok_or(ModuleError::UnknownForm)?;
    match rest.split_first() {
        Some((&form::PLAIN, module)) => Ok(Cow::Borrowed(module)),
        Some((&form::BROTLI, compressed)) => decompress(compressed).map(Cow::Owned),
        _ => Err(ModuleError::UnknownForm),
    }
}

fn decompress(compressed: &[u8]) -> Result<Vec<u8>, ModuleError> {
    const BUFFER_BYTES: usize = 4096;
    // One byte more than allowed, so that a module that is too long is seen to be.
    let limit = MAX_MODULE_SIZE as u64 + 1;
    let mut module = Vec::new();
    brotli::Decompressor::new(compressed, BUFFER_BYTES)
        .take(limit)
        .read_to_end(&mut module)
        .map_err(|_| ModuleError::Compression)?;
    if module.len() > MAX_MODULE_SIZE {
        return Err(ModuleError::TooLong);
    }
    Ok(module)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    fn brotli_code(module: &[u8]) -> Vec<u8> {
        let mut code = PROGRAM_PREFIX.to_vec();
        code.push(form::BROTLI);
        brotli::CompressorWriter::new(&mut code, 4096, 5, 22)
            .write_all(module)
            .unwrap();
        code
    }

    #[test]
    fn a_decompression_bomb_is_refused_at_the_limit() {
        let bomb = brotli_code(&vec![0; 64 << 20]);
        assert!(bomb.len() < 4096);
        assert_eq!(module_of(&bomb), Err(ModuleError::TooLong));
    }

    #[test]
    fn unknown_forms_are_refused() {
        for code in [
            &[0xef, 0xf0, 0x00][..],
            &[0xef, 0xf0, 0x00, 0x01, 1, 2],
            &[0xef, 0x01, 0x00],
        ] {
            assert_eq!(module_of(code), Err(ModuleError::UnknownForm));
        }
    }

    proptest! {
        #[test]
        fn both_forms_give_the_module_back(module in prop::collection::vec(any::<u8>(), 0..5000)) {
            let stored = stored_code(&module);
            prop_assert!(is_program(&stored));
            let found = module_of(&stored).unwrap();
            prop_assert_eq!(found.as_ref(), &module[..]);
            let compressed = brotli_code(&module);
            prop_assert!(is_program(&compressed));
            let found = module_of(&compressed).unwrap();
            prop_assert_eq!(found.as_ref(), &module[..]);
        }

        #[test]
        fn any_bytes_after_the_prefix_give_a_module_or_an_error(
            rest in prop::collection::vec(any::<u8>(), 0..500),
            form in prop_oneof![Just(0_u8), any::<u8>()],
        ) {
            let code: Vec<u8> = PROGRAM_PREFIX.into_iter().chain([form]).chain(rest).collect();
            if let Ok(module) = module_of(&code) {
                prop_assert!(module.len() <= MAX_MODULE_SIZE || form == form::PLAIN);
            }
        }
    }
}
