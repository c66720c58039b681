//! The kinds of symbols: each has weights and contexts of its own.

macro_rules! kinds {
    ($($name:ident)*) => { kinds!(@ 0u32; $($name)*); };
    (@ $number:expr; $name:ident $($rest:ident)*) => {
        #[allow(dead_code, reason = "amounts take the kind after their own for their digits")]
        pub(super) const $name: u32 = $number;
        kinds!(@ $number + 1; $($rest)*);
    };
    (@ $number:expr;) => {
        /// How many there are.
        pub(super) const COUNT: usize = ($number) as usize;
    };
}

kinds! {
    TYPE CHAIN LINK DISTANCE NONCE
    RECIPIENT_CLASS RECIPIENT
    SHAPE SELECTOR LENGTH WORDS TAIL
    VALUE_CLASS VALUE VALUE_DECIMAL VALUE_MANTISSA
    GAS_KNOWN GAS GAS_DECIMAL GAS_MANTISSA
    TIP_KNOWN TIP TIP_DECIMAL TIP_MANTISSA
    SURCHARGED SURCHARGE
    FEE_KNOWN FEE FEE_DECIMAL FEE_MANTISSA
    WORD WORD_ADDRESS WORD_KNOWN WORD_RECENT WORD_TIME WORD_DECIMAL WORD_MANTISSA WORD_NUMBER
    WORD_LEFT WORD_UPPER WORD_LOWER WORD_NEAR BYTE NESTED NESTED_KNOWN NESTED_SELECTOR
    LIST_COUNT LIST_KEYS LIST_ADDRESS LIST_NUMBER
}
