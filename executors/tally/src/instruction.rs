use alloy_primitives::U256;

/// What a contract can do. Each is one byte; only [`Self::Push`] has a word behind it. Words are
/// taken from the top of the stack in the order in which they are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instruction {
    /// `01`: puts the 32 bytes that follow on the stack.
    Push(U256),
    /// `02`: takes an offset; the word of the calldata there, zeros behind its end.
    Calldata,
    /// `03`: takes a slot; its value.
    Load,
    /// `04`: takes a slot and a value, and stores it.
    Store,
    /// `05`: takes two words; their sum modulo 2^256.
    Add,
    /// `06`: takes a topic and a word, and logs them.
    Log,
    /// `07`: takes an address, a value and an offset, and calls the address with the calldata from
    /// there on; 1 if the call returned, 0 otherwise.
    Call,
    /// `08`: as [`Self::Call`], without a value and in this contract's place.
    DelegateCall,
    /// `09`: as [`Self::Call`], without a value and without writing.
    StaticCall,
    /// `0a`: the first word of what the last call returned or reverted with.
    Output,
    /// `0b`: takes a value and an offset, and creates a contract from the calldata from there on;
    /// its address, or 0.
    Create,
    /// `0c`: takes a salt, and then as [`Self::Create`].
    Create2,
    /// `0d`: takes an address; its balance in wei.
    Balance,
    /// `0e`: the caller.
    Caller,
    /// `0f`: the value that came along, in wei.
    Value,
    /// `10`: this contract.
    Itself,
    /// `11`: the gas that is left.
    Gas,
    /// `12`: 1 if this contract is running above already, 0 otherwise.
    Reentrant,
    /// `13`: takes a word and leaves out the next instruction if it is zero.
    SkipIfZero,
    /// `14`: takes a word and returns it. Behind the last instruction, nothing is returned.
    Return,
    /// `15`: takes a word and reverts with it.
    Revert,
}

impl Instruction {
    /// The first instruction, and what is behind it. `None` when there is none with that byte, or
    /// its word is cut off.
    pub fn decode(code: &[u8]) -> Option<(Self, &[u8])> {
        let (byte, rest) = code.split_first()?;
        let instruction = match byte {
            0x01 => {
                let (word, rest) = rest.split_first_chunk::<32>()?;
                return Some((Self::Push(U256::from_be_bytes(*word)), rest));
            }
            0x02 => Self::Calldata,
            0x03 => Self::Load,
            0x04 => Self::Store,
            0x05 => Self::Add,
            0x06 => Self::Log,
            0x07 => Self::Call,
            0x08 => Self::DelegateCall,
            0x09 => Self::StaticCall,
            0x0a => Self::Output,
            0x0b => Self::Create,
            0x0c => Self::Create2,
            0x0d => Self::Balance,
            0x0e => Self::Caller,
            0x0f => Self::Value,
            0x10 => Self::Itself,
            0x11 => Self::Gas,
            0x12 => Self::Reentrant,
            0x13 => Self::SkipIfZero,
            0x14 => Self::Return,
            0x15 => Self::Revert,
            _ => return None,
        };
        Some((instruction, rest))
    }
}
