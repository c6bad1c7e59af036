/* tokenize.h - all tokens of a text, which the tokenizer gets in pieces. */
#ifndef DEJUNK_TESTS_TOKENIZE_H
#define DEJUNK_TESTS_TOKENIZE_H

#include "html/tokenizer.h"
#include "streams.h"

/* The tokenizer is begun, and is not ended here. */
static inline void tokenize(struct tokenizer *tokenizer, struct span text, unsigned cut,
                            void (*take)(void *owner, const struct token *token), void *owner)
{
    struct stream stream = stream_of(text, cut);
    struct token token;
    struct span piece;

    while (stream_next(&stream, &piece)) {
        tokenizer_feed(tokenizer, piece);
        while (tokenizer_next(tokenizer, &token))
            take(owner, &token);
    }
    tokenizer_finish(tokenizer);
    while (tokenizer_next(tokenizer, &token))
        take(owner, &token);
}

#endif
