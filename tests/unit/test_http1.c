/* The protocol machine: each row whole, byte by byte and cut at random tells the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "../http1_trace.h"
#include "http/octets.h"

#define R "GET http://a/ HTTP/1.1\r\nHost: a\r\n"
#define P "POST http://a/ HTTP/1.1\r\nHost: a\r\n"
#define C P "Transfer-Encoding: chunked\r\n\r\n"
#define S "HTTP/1.1 200 OK\r\n"
#define SC S "Transfer-Encoding: chunked\r\n\r\n"

struct row {
    const char *name;
    struct span bytes;
    const char *want; // brief, see http1_trace.h
};
#define ROW(name, bytes, want)                                                                     \
    {                                                                                              \
        name, { bytes, sizeof(bytes) - 1 }, want                                                   \
    }

static const struct row requests[] = {
    // what browsers send
    ROW("plain", R "\r\n", "none end"),
    ROW("two in a row", R "\r\n" R "\r\n", "none end none end"),
    ROW("after close comes nothing", R "Connection: close\r\n\r\n" R "\r\n", "none,close end"),
    ROW("length", P "Content-Length: 5\r\n\r\nhello", "length=5 hello end"),
    ROW("length of nothing", P "Content-Length: 0\r\n\r\n", "none=0 end"),
    ROW("length, then the next", P "Content-Length: 5\r\n\r\nhello" R "\r\n",
        "length=5 hello end none end"),
    ROW("POST without length", P "\r\n", "none end"),
    ROW("HEAD with a body", "HEAD http://a/ HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
        "length=2 hi end"),
    ROW("origin-form", "GET /x HTTP/1.1\r\nHost: a\r\n\r\n", "none end"),
    ROW("asterisk-form", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "none end"),
    ROW("CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n\x16\x03\x01", "none end"),
    ROW("HTTP/1.0 without Host", "GET http://a/ HTTP/1.0\r\n\r\n", "none,close end"),
    ROW("HTTP/1.0 is never kept", "GET http://a/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        "none,close end"),
    ROW("HTTP/1.2 is 1.1", "GET http://a/ HTTP/1.2\r\nHost: a\r\n\r\n", "none end"),
    ROW("upgrade", R "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\nx",
        "none,upgrade end"),
    ROW("Upgrade not named", R "Upgrade: websocket\r\n\r\n", "none end"),
    ROW("upgrade named, not there", R "Connection: upgrade\r\n\r\n", "none end"),
    ROW("upgrade to h2c", R "Connection: upgrade\r\nUpgrade: h2c, TLS/1.0\r\n\r\n", "none end"),
    ROW("upgrade in quotes", R "Connection: upgrade\r\nUpgrade: \"websocket\"\r\n\r\n", "none end"),
    ROW("a quote hides no close", R "Connection: \"a, close, b\"\r\n\r\n", "none,close end"),
    ROW("upgrade in HTTP/1.0",
        "GET http://a/ HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        "none,close end"),
    ROW("Expect", P "Expect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
        "length=2,continue hi end"),
    ROW("Expect without content", P "Expect: 100-continue\r\n\r\n", "none end"),
    ROW("Expect in HTTP/1.0",
        "POST http://a/ HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
        "length=2,close hi end"),
    ROW("unknown method", "X-CUSTOM http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "none end"),
    ROW("odd bytes of old links",
        "GET http://a/_ylh=X3oDMTEwdnZj/;_ylt=A|B*$~^`{}\"<>\\%zz\xc3\xa9 HTTP/1.1\r\nHost: "
        "a\r\n\r\n",
        "none end"),
    ROW("four empty lines", "\r\n\r\n\r\n\r\n" R "\r\n", "none end"),
    ROW("UTF-8 and tab in a value", R "X:\t\xc3\xa9\tb \r\n\r\n", "none end"),
    ROW("empty value", R "X:\r\nY: \t \r\n\r\n", "none end"),
    ROW("empty Host", "GET http://a/ HTTP/1.1\r\nHost:\r\n\r\n", "none end"),
    ROW("other Host", "GET http://a/ HTTP/1.1\r\nHost: b:81\r\n\r\n", "none end"),

    // first lines
    ROW("nothing", "", ""),
    ROW("only empty lines", "\r\n\r\n", ""),
    ROW("half an empty line", "\r", ""),
    ROW("five empty lines", "\r\n\r\n\r\n\r\n\r\n" R "\r\n", "syntax:400"),
    ROW("bare LF first", "\n" R "\r\n", "syntax:400"),
    ROW("bare CR first", "\rGET", "syntax:400"),
    ROW("NUL", "\0\0\0\0", "syntax:400"),
    ROW("TLS", "\x16\x03\x01\0", "syntax:400"),
    ROW("SOCKS", "\x05\x01\0", "syntax:400"),
    ROW("leading blank", " GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "syntax:400"),
    ROW("HTTP/0.9", "GET http://a/\r\n\r\n", "syntax:400"),
    ROW("method alone", "GET\r\n", "syntax:400"),
    ROW("no target", "GET HTTP/1.1\r\n", "syntax:400"),
    ROW("empty target", "GET  HTTP/1.1\r\n", "syntax:400"),
    ROW("two blanks", "GET  http://a/ HTTP/1.1\r\n", "syntax:400"),
    ROW("two blanks behind", "GET http://a/  HTTP/1.1\r\n", "syntax:400"),
    ROW("tabs", "GET\thttp://a/\tHTTP/1.1\r\n", "syntax:400"),
    ROW("blank at the end", "GET http://a/ HTTP/1.1 \r\n", "syntax:400"),
    ROW("blank in the target", "GET http://a/b c HTTP/1.1\r\n", "syntax:400"),
    ROW("NUL in the target", "GET http://a/\0 HTTP/1.1\r\n", "syntax:400"),
    ROW("DEL in the target", "GET http://a/\x7f HTTP/1.1\r\n", "syntax:400"),
    ROW("CR in the target", "GET http://a/\rb HTTP/1.1\r\n", "syntax:400"),
    ROW("bare LF", "GET http://a/ HTTP/1.1\nHost: a\r\n\r\n", "syntax:400"),
    ROW("CR CR LF", "GET http://a/ HTTP/1.1\r\r\nHost: a\r\n\r\n", "syntax:400"),
    ROW("method not a token", "G=\":<>(e),[T] http://a/ HTTP/1.1\r\n", "syntax:400"),
    ROW("method with UTF-8", "G\xc3\x89T http://a/ HTTP/1.1\r\n", "syntax:400"),
    ROW("lower-case version", "GET http://a/ http/1.1\r\n", "syntax:400"),
    ROW("version 1.10", "GET http://a/ HTTP/1.10\r\n", "syntax:400"),
    ROW("version 1.", "GET http://a/ HTTP/1.\r\n", "syntax:400"),
    ROW("version 1.1x", "GET http://a/ HTTP/1.1x\r\n", "syntax:400"),
    ROW("version 2.0", "GET http://a/ HTTP/2.0\r\n", "unsupported:505"),
    ROW("version 0.9", "GET http://a/ HTTP/0.9\r\n", "unsupported:505"),
    ROW("HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "unsupported:505"),
    ROW("another protocol", "GET http://a/ ICE/1.0\r\n", "syntax:400"),
    ROW("asterisk for GET", "GET * HTTP/1.1\r\n", "syntax:400"),
    ROW("relative target", "GET a/b HTTP/1.1\r\n", "syntax:400"),
    ROW("authority for GET", "GET a:80 HTTP/1.1\r\n", "syntax:400"),
    ROW("backslashes", "GET http:\\\\a\\ HTTP/1.1\r\n", "syntax:400"),
    ROW("ended in the first line", "GET http://a/ HT", "lost:400"),
    ROW("ended in the head", R "Foo", "lost:400"),
    ROW("ended in the body", P "Content-Length: 5\r\n\r\nhell", "length=5 hell lost:400"),
    ROW("ended in the chunks", C "5\r\nhello\r\n", "chunked hello lost:400"),
    ROW("second is junk", R "\r\nInvalid\r\n\r\n", "none end syntax:400"),

    // fields
    ROW("blank before the colon", R "X : b\r\n\r\n", "syntax:400"),
    ROW("tab before the colon", R "X\t: b\r\n\r\n", "syntax:400"),
    ROW("folded", R "X: b\r\n c\r\n\r\n", "syntax:400"),
    ROW("folded with tab", R "X: b\r\n\tc\r\n\r\n", "syntax:400"),
    ROW("folded, nothing there", R "X: b\r\n \r\nY: c\r\n\r\n", "syntax:400"),
    ROW("first field folded", "GET http://a/ HTTP/1.1\r\n Host: a\r\n\r\n", "syntax:400"),
    ROW("no colon", R "foo bar\r\n\r\n", "syntax:400"),
    ROW("name alone", R "foo\r\n\r\n", "syntax:400"),
    ROW("no name", R ": b\r\n\r\n", "syntax:400"),
    ROW("name with at", R "Fo@: b\r\n\r\n", "syntax:400"),
    ROW("name with control", R "Fo\x01: b\r\n\r\n", "syntax:400"),
    ROW("name with UTF-8",
        R "\xef"
          "foo: b\r\n\r\n",
        "syntax:400"),
    ROW("name with NUL", R "a\0: b\r\n\r\n", "syntax:400"),
    ROW("value with NUL", R "X: a\0b\r\n\r\n", "syntax:400"),
    ROW("value with CR", R "X: a\rb\r\n\r\n", "syntax:400"),
    ROW("value ends in CR", R "X: a\r\r\n\r\n", "syntax:400"),
    ROW("value with VT", R "X: a\vb\r\n\r\n", "syntax:400"),
    ROW("value with DEL",
        R "X: a\x7f"
          "b\r\n\r\n",
        "syntax:400"),
    ROW("value with ESC, far in", R "X: 0123456789abcdef0123456789\x1b\r\n\r\n", "syntax:400"),
    ROW("LF ends a field", R "X: a\nY: b\r\n\r\n", "syntax:400"),
    ROW("LF ends the head", R "\n", "syntax:400"),
    ROW("CR CR LF ends the head", R "\r\r\n", "syntax:400"),
    ROW("blank line of a blank", R " \r\n\r\n", "syntax:400"),

    // Host
    ROW("no Host", "GET http://a/ HTTP/1.1\r\n\r\n", "syntax:400"),
    ROW("two Hosts", R "Host: a\r\n\r\n", "syntax:400"),
    ROW("two Hosts that differ", R "host: b\r\n\r\n", "syntax:400"),
    ROW("two Hosts in HTTP/1.0", "GET http://a/ HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n",
        "syntax:400"),
    ROW("Host with path", "GET http://a/ HTTP/1.1\r\nHost: a/b\r\n\r\n", "syntax:400"),
    ROW("Host with user", "GET http://a/ HTTP/1.1\r\nHost: u@a\r\n\r\n", "syntax:400"),
    ROW("Host with blank", "GET http://a/ HTTP/1.1\r\nHost: a b\r\n\r\n", "syntax:400"),
    ROW("Host with two ports", "GET http://a/ HTTP/1.1\r\nHost: a:1:2\r\n\r\n", "syntax:400"),
    ROW("list of Hosts", "GET http://a/ HTTP/1.1\r\nHost: a, b\r\n\r\n", "syntax:400"),

    // Content-Length and Transfer-Encoding
    ROW("both", P "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n", "syntax:400"),
    ROW("both, other order", P "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
        "syntax:400"),
    ROW("both, length zero", P "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "syntax:400"),
    ROW("same length twice", P "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "syntax:400"),
    ROW("lengths differ", P "content-LENGTH: 5\r\nContent-Length: 6\r\n\r\nhello!", "syntax:400"),
    ROW("list of lengths", P "Content-Length: 5, 5\r\n\r\nhello", "syntax:400"),
    ROW("length and comma", P "Content-Length: 5,\r\n\r\nhello", "syntax:400"),
    ROW("comma and length", P "Content-Length: ,5\r\n\r\nhello", "syntax:400"),
    ROW("length +5", P "Content-Length: +5\r\n\r\nhello", "syntax:400"),
    ROW("length -5", P "Content-Length: -5\r\n\r\nhello", "syntax:400"),
    ROW("length 0x5", P "Content-Length: 0x5\r\n\r\nhello", "syntax:400"),
    ROW("length 5e0", P "Content-Length: 5e0\r\n\r\nhello", "syntax:400"),
    ROW("length 5.0", P "Content-Length: 5.0\r\n\r\nhello", "syntax:400"),
    ROW("length 0 5", P "Content-Length: 0 5\r\n\r\nhello", "syntax:400"),
    ROW("length 5;", P "Content-Length: 5;\r\n\r\nhello", "syntax:400"),
    ROW("length quoted", P "Content-Length: \"5\"\r\n\r\nhello", "syntax:400"),
    ROW("length empty", P "Content-Length:  \r\n\r\n", "syntax:400"),
    ROW("length among tabs", P "Content-Length:\t5\t \r\n\r\nhello", "length=5 hello end"),
    ROW("length 010", P "Content-Length: 010\r\n\r\n0123456789", "length=10 0123456789 end"),
    ROW("length 2^63", P "Content-Length: 9223372036854775808\r\n\r\n", "limit:413"),
    ROW("length 2^64+5", P "Content-Length: 18446744073709551621\r\n\r\n", "limit:413"),
    ROW("length 2^63-1", P "Content-Length: 9223372036854775807\r\n\r\nhi",
        "length=9223372036854775807 hi lost:400"),
    ROW("length, blank before colon", P "Content-Length : 5\r\n\r\nhello", "syntax:400"),
    ROW("coding, blank before colon", P "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "syntax:400"),
    ROW("chunked without blank", P "Transfer-Encoding:chunked\r\n\r\n0\r\n\r\n", "chunked end"),
    ROW("CHUNKED", P "tRANSFER-eNCODING: cHUNKED \r\n\r\n0\r\n\r\n", "chunked end"),
    ROW("coding empty", P "Transfer-Encoding:\r\n\r\n", "unsupported:501"),
    ROW("coding quoted", P "Transfer-Encoding: \"chunked\"\r\n\r\n", "unsupported:501"),
    ROW("coding xchunked", P "Transfer-Encoding: xchunked\r\n\r\n", "unsupported:501"),
    ROW("coding identity", P "Transfer-Encoding: identity\r\n\r\n", "unsupported:501"),
    ROW("coding gzip, chunked", P "Transfer-Encoding: gzip, chunked\r\n\r\n", "unsupported:501"),
    ROW("chunked, gzip", P "Transfer-Encoding: chunked, gzip\r\n\r\n", "unsupported:501"),
    ROW("chunked twice in a list", P "Transfer-Encoding: chunked, chunked\r\n\r\n",
        "unsupported:501"),
    ROW("chunked with comma", P "Transfer-Encoding: chunked,\r\n\r\n", "unsupported:501"),
    ROW("chunked with parameter", P "Transfer-Encoding: chunked;q=1\r\n\r\n", "unsupported:501"),
    ROW("chunked twice", P "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        "syntax:400"),
    ROW("chunked with VT", P "Transfer-Encoding: \vchunked\r\n\r\n", "syntax:400"),
    ROW("chunked with nbsp",
        P "Transfer-Encoding:\xa0"
          "chunked\r\n\r\n",
        "unsupported:501"),
    ROW("chunked in HTTP/1.0", "POST http://a/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "syntax:400"),
    ROW("Transfer_Encoding", P "Transfer_Encoding: chunked\r\nContent-Length: 2\r\n\r\nhi",
        "length=2 hi end"),
    ROW("CONNECT with length", "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 5\r\n\r\n",
        "syntax:400"),
    ROW("CONNECT chunked",
        "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nTransfer-Encoding: chunked\r\n\r\n", "syntax:400"),
    ROW("Connection: Content-Length", P "Connection: Content-Length\r\nContent-Length: 2\r\n\r\nhi",
        "length=2 hi end"),

    // Expect
    ROW("unknown expectation", R "Expect: x\r\n\r\n", "unsupported:417"),
    ROW("odd expectation", R "Expect: x 100-continue\r\n\r\n", "unsupported:417"),
    ROW("Expect without case", P "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\nx",
        "length=1,continue x end"),

    // chunks
    ROW("chunked", C "5\r\nhello\r\n0\r\n\r\n", "chunked hello end"),
    ROW("two chunks", C "5\r\nhello\r\n6\r\nworld!\r\n0\r\n\r\n" R "\r\n",
        "chunked helloworld! end none end"),
    ROW("hex without case", C "a\r\n0123456789\r\nB\r\n0123456789x\r\n0\r\n\r\n",
        "chunked 01234567890123456789x end"),
    ROW("zeros before", C "00005\r\nhello\r\n000\r\n\r\n", "chunked hello end"),
    ROW("extensions", C "5;a=b ; c=\"\\\"d;\";e\r\nhello\r\n0;x\r\n\r\n", "chunked hello end"),
    ROW("extension with blanks", C "5 ; a = b\r\nhello\r\n0\r\n\r\n", "chunked hello end"),
    ROW("extension without name", C "5;\r\nhello\r\n0\r\n\r\n", "chunked syntax:400"),
    ROW("extension not ended", C "5;a=\"b\r\nhello\r\n0\r\n\r\n", "chunked syntax:400"),
    ROW("extension ends in backslash", C "5;a=\"b\\\r\nhello\r\n0\r\n\r\n", "chunked syntax:400"),
    ROW("extension with =", C "5;a=\r\nhello\r\n0\r\n\r\n", "chunked syntax:400"),
    ROW("extension with CR", C "5;a=b\r\rX\r\nhello\r\n0\r\n\r\n", "chunked syntax:400"),
    ROW("extension with LF", C "2;\nxx\r\n4c\r\n0\r\n\r\n", "chunked syntax:400"),
    ROW("extension with NUL", C "5;a=\0\r\nhello\r\n0\r\n\r\n", "chunked syntax:400"),
    ROW("size 0x5", C "0x5\r\nhello\r\n0\r\n\r\n", "chunked syntax:400"),
    ROW("size +5", C "+5\r\nhello\r\n0\r\n\r\n", "chunked syntax:400"),
    ROW("size -5", C "-5\r\nhello\r\n0\r\n\r\n", "chunked syntax:400"),
    ROW("size 5z", C "5z\r\nhello\r\n0\r\n\r\n", "chunked syntax:400"),
    ROW("blank before the size", C " 5\r\nhello\r\n0\r\n\r\n", "chunked syntax:400"),
    ROW("blank behind the size", C "5 \r\nhello\r\n0\r\n\r\n", "chunked syntax:400"),
    ROW("no size", C "\r\nhello\r\n0\r\n\r\n", "chunked syntax:400"),
    ROW("LF ends the size", C "5\nhello\r\n0\r\n\r\n", "chunked syntax:400"),
    ROW("LF ends the data", C "5\r\nhello\n0\r\n\r\n", "chunked hello syntax:400"),
    ROW("CR ends the data", C "5\r\nhello\r0\r\n\r\n", "chunked hello syntax:400"),
    ROW("data too long", C "5\r\nhelloworld\r\n0\r\n\r\n", "chunked hello syntax:400"),
    ROW("data too short", C "6\r\nhello\r\n0\r\n\r\n", "chunked hello\r syntax:400"),
    ROW("last chunk missing", C "3\r\nfoo\r\n\r\n", "chunked foo syntax:400"),
    ROW("size 2^63-1", C "7FFFFFFFFFFFFFFF\r\nhello", "chunked hello lost:400"),
    ROW("size 2^63", C "8000000000000000\r\nhello", "chunked limit:413"),
    ROW("size 2^64-2", C "FFFFFFFFFFFFFFFE\r\nhello", "chunked limit:413"),
    ROW("size 2^64+5", C "10000000000000005\r\nhello", "chunked limit:413"),
    ROW("size 2^32+5", C "100000005\r\nhello", "chunked hello lost:400"),
    ROW("trailers", C "0\r\nX-T: 1\r\nServer-Timing: a\r\n\r\n" R "\r\n",
        "chunked trailer:X-T trailer:Server-Timing end none end"),
    ROW("forbidden trailers",
        C "0\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\nHost: b\r\nTrailer: x\r\n"
          "Authorization: x\r\nCookie: x\r\nSet-Cookie: x\r\nContent-Type: x\r\nTE: x\r\n"
          "Connection: x\r\nIf-Match: x\r\nProxy-Foo: x\r\nX-Forwarded-For: x\r\nVia: x\r\n\r\n",
        "chunked end"),
    ROW("trailer with NUL", C "0\r\nX: \0\r\n\r\n", "chunked syntax:400"),
    ROW("trailer folded", C "0\r\nX: a\r\n b\r\n\r\n", "chunked syntax:400"),
    ROW("trailer ends in LF", C "0\r\n\n", "chunked syntax:400"),
    ROW("trailer without colon", C "0\r\nGET /smuggled\r\n\r\n", "chunked syntax:400"),
};

static const struct row responses[] = {
    ROW("length", S "Content-Length: 5\r\n\r\nhello", "length=5 hello end"),
    ROW("length, and more", S "Content-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n\r\n",
        "length=5 hello end until-close,close end"),
    ROW("length 0", S "Content-Length: 0\r\n\r\n", "none=0 end"),
    ROW("until close", S "\r\nhello", "until-close,close hello end"),
    ROW("until close, nothing", S "\r\n", "until-close,close end"),
    ROW("chunked", SC "5\r\nhello\r\n0\r\n\r\n", "chunked hello end"),
    ROW("trailers", SC "5\r\nhello\r\n0\r\nX-T: 1\r\nContent-Length: 3\r\n\r\n",
        "chunked hello trailer:X-T end"),
    ROW("HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "length=5,close hello end"),
    ROW("HTTP/1.0, kept", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: Keep-Alive\r\n\r\nx",
        "length=1 x end"),
    ROW("close", S "Content-Length: 1\r\nConnection: close, X\r\n\r\nx", "length=1,close x end"),
    ROW("no reason", "HTTP/1.1 200 \r\nContent-Length: 1\r\nConnection: close\r\n\r\nx",
        "length=1,close x end"),
    ROW("no blank behind the status",
        "HTTP/1.1 200\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx", "length=1,close x end"),
    ROW("999", "HTTP/1.1 999 Request denied\r\n\r\n", "until-close,close end"),
    ROW("204", "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n", "none,close end"),
    ROW("204 with length", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
        "none,close,abnormal end"),
    ROW("204 with length 0", "HTTP/1.1 204 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        "none,close end"),
    ROW("204 chunked", "HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "none,close,abnormal end"),
    ROW("205 with length", "HTTP/1.1 205 Reset\r\nContent-Length: 2\r\n\r\nhi",
        "length=2,close,abnormal hi end"),
    ROW("304 with length", "HTTP/1.1 304 No\r\nContent-Length: 5\r\nConnection: close\r\n\r\n",
        "none=5,close end"),
    ROW("100, then 200",
        "HTTP/1.1 100 Continue\r\n\r\n" S "Content-Length: 1\r\n"
        "Connection: close\r\n\r\nx",
        "100 length=1,close x end"),
    ROW("103 has fields",
        "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
        "HTTP/1.1 103 Early Hints\r\nLink: </y>\r\n\r\n" S "\r\n",
        "103 103 until-close,close end"),
    ROW("100 with a length",
        "HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n" S "Content-Length: 1\r\n\r\nx",
        "100 length=1,close,abnormal x end"),
    ROW("100 with a body", "HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\nhello" S "\r\n",
        "100 syntax:502"),
    ROW("101", "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nraw",
        "none,close,upgrade end"),
    ROW("101 without Upgrade", "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\n\r\n",
        "syntax:502"),
    ROW("101 to another HTTP",
        "HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n", "syntax:502"),
    ROW("101 without Connection", "HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", "syntax:502"),

    // what is refused, or accepted for the last time on this connection
    ROW("same length twice", S "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        "length=5,close,abnormal hello end"),
    ROW("list of lengths", S "Content-Length: 5 , 5\r\n\r\nhello",
        "length=5,close,abnormal hello end"),
    ROW("lengths differ", S "Content-Length: 5\r\nContent-Length: 50\r\n\r\nhello", "syntax:502"),
    ROW("lengths differ in a list", S "Content-Length: 5, 5, 6\r\n\r\nhello", "syntax:502"),
    ROW("length and comma", S "Content-Length: 5,\r\n\r\nhello", "syntax:502"),
    ROW("length +5", S "Content-Length: +5\r\n\r\nhello", "syntax:502"),
    ROW("length 2^63", S "Content-Length: 9223372036854775808\r\n\r\nhello", "limit:502"),
    ROW("both", S "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "syntax:502"),
    ROW("unknown coding", S "Transfer-Encoding: pigeons\r\n\r\nhello", "unsupported:502"),
    ROW("gzip, chunked", S "Transfer-Encoding: gzip, chunked\r\n\r\nhello", "unsupported:502"),
    ROW("identity", S "Transfer-Encoding: identity\r\n\r\nhello",
        "until-close,close,abnormal hello end"),
    ROW("chunked twice", S "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        "syntax:502"),
    ROW("chunked in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "syntax:502"),
    ROW("blanks behind chunk sizes", SC "5  \r\nhello\r\n0  \r\n\r\nmore", "chunked hello end"),
    ROW("chunk ends in LF", SC "5\nhello\n0\n\n", "chunked syntax:502"),
    ROW("chunk too long", SC "5\r\nhelloworld\r\n0\r\n\r\n", "chunked hello syntax:502"),
    ROW("chunk size not hex", SC "Z\r\nhello\r\n0\r\n\r\n", "chunked syntax:502"),
    ROW("folded", S "X: b\r\n c\r\n\r\n", "syntax:502"),
    ROW("CR in a field", S "Foo: 1\rX-Evil: 2\r\n\r\n", "syntax:502"),
    ROW("CR in the status line", "HTTP/1.1 200 OK\rContent-Length: 5\r\n\r\n", "syntax:502"),
    ROW("LF ends the status line", "HTTP/1.1 200 OK\nContent-Length: 5\r\n\r\n", "syntax:502"),
    ROW("UTF-8 in a name",
        S "X\x85"
          "A: x\r\n\r\n",
        "syntax:502"),
    ROW("empty line first", "\r\n" S "\r\n", "syntax:502"),
    ROW("HTTP/0.9", "<html>no status line</html>", "syntax:502"),
    ROW("SMTP", "220 mail ESMTP\r\n", "syntax:502"),
    ROW("ICY", "ICY 200 OK\r\n\r\n", "syntax:502"),
    ROW("HTP", "HTP/1.1 200 OK\r\n\r\n", "syntax:502"),
    ROW("HTTP/2", "HTTP/2 200\r\n\r\n", "syntax:502"),
    ROW("HTTP/1.10", "HTTP/1.10 200 OK\r\n\r\n", "syntax:502"),
    ROW("status of one digit", "HTTP/1.1 2 OK\r\n\r\n", "syntax:502"),
    ROW("status of five digits", "HTTP/1.1 99999 OK\r\n\r\n", "syntax:502"),
    ROW("status 000", "HTTP/1.1 000 OK\r\n\r\n", "syntax:502"),
    ROW("status +20", "HTTP/1.1 +20 OK\r\n\r\n", "syntax:502"),
    ROW("tab behind the version", "HTTP/1.1\t200 OK\r\n\r\n", "syntax:502"),
    ROW("two blanks behind the version", "HTTP/1.1  200 OK\r\n\r\n", "syntax:502"),
    ROW("NUL in the reason", "HTTP/1.1 200 O\0K\r\n\r\n", "syntax:502"),
    ROW("closed before it", "", "lost:502"),
    ROW("closed in the status line", "HTTP/1.1 20", "lost:502"),
    ROW("closed in the head", S "Content-Le", "lost:502"),
    ROW("closed after 100", "HTTP/1.1 100 Continue\r\n\r\n", "100 lost:502"),
    ROW("closed in the body", S "Content-Length: 100\r\n\r\nhello", "length=100 hello lost:502"),
    ROW("closed in a chunk", SC "64\r\nhello", "chunked hello lost:502"),
    ROW("closed before the last chunk", SC "5\r\nhello\r\n", "chunked hello lost:502"),
    ROW("closed in the trailers", SC "0\r\n", "chunked lost:502"),
};

static const struct row head_responses[] = {
    ROW("length", S "Content-Length: 5\r\n\r\n", "none=5 end"),
    ROW("chunked", S "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n", "none,close end"),
    ROW("neither", S "Connection: close\r\n\r\n", "none,close end"),
    ROW("lengths differ", S "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", "syntax:502"),
};

static const struct row connect_responses[] = {
    ROW("200", S "\r\nraw", "none,close end"),
    ROW("200 with length", S "Content-Length: 5\r\n\r\nhello", "none,close end"),
    ROW("200 chunked", S "Transfer-Encoding: chunked\r\n\r\nraw", "none,close end"),
    ROW("refused", "HTTP/1.1 403 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno",
        "length=2,close no end"),
};

static void check_cut(const struct row *row, enum phases_side side, enum method answers,
                      size_t piece, unsigned seed, bool pauses, const struct trace *whole)
{
    struct trace trace;

    trace_open(&trace, side, answers);
    trace.pauses = pauses;
    trace_run(&trace, row->bytes, piece, seed, true);
    if (!span_equal(buffer_span(&trace.full), buffer_span(&whole->full)))
        fail_msg("%s: cut by %zu, seed %u, pauses %d\n%.*s\n-- is not --\n%.*s", row->name, piece,
                 seed, pauses, SPAN_PRINT(buffer_span(&trace.full)),
                 SPAN_PRINT(buffer_span(&whole->full)));
    trace_close(&trace);
}

static void check_row(const struct row *row, enum phases_side side, enum method answers)
{
    struct trace whole;

    trace_open(&whole, side, answers);
    trace_run(&whole, row->bytes, 0, 0, true);
    if (!span_equal(buffer_span(&whole.brief), span_text(row->want)))
        fail_msg("%s: wanted \"%s\", got \"%.*s\"\n%.*s", row->name, row->want,
                 SPAN_PRINT(buffer_span(&whole.brief)), SPAN_PRINT(buffer_span(&whole.full)));
    check_cut(row, side, answers, 0, 0, true, &whole);
    check_cut(row, side, answers, 1, 0, false, &whole);
    check_cut(row, side, answers, 1, 0, true, &whole);
    for (unsigned seed = 1; seed < 8; seed++)
        check_cut(row, side, answers, 4 << seed, seed * 7919, seed & 1, &whole);
    trace_close(&whole);
}

#define CHECK_ROWS(rows, side, answers)                                                            \
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)                                        \
    check_row(&rows[i], side, answers)

static void requests_are_told_alike_however_cut(void **state)
{
    (void)state;
    CHECK_ROWS(requests, SIDE_BROWSER, METHOD_OTHER);
}

static void responses_are_told_alike_however_cut(void **state)
{
    (void)state;
    CHECK_ROWS(responses, SIDE_OUTGOING, METHOD_GET);
    CHECK_ROWS(head_responses, SIDE_OUTGOING, METHOD_HEAD);
    CHECK_ROWS(connect_responses, SIDE_OUTGOING, METHOD_CONNECT);
}

/* ---- limits: the last that is taken, and one more ---- */

/* Reads `head`, `size` times 'a', `tail`. */
static void check_limit(enum phases_side side, const char *head, size_t size, const char *tail,
                        const char *want)
{
    struct buffer bytes = { .limit_bytes = 2 << 20 };
    struct row row = { head, SPAN_NONE, want };

    buffer_append(&bytes, span_text(head));
    buffer_reserve(&bytes, size);
    memset(bytes.at + bytes.size, 'a', size);
    bytes.size += size;
    buffer_append(&bytes, span_text(tail));
    row.bytes = buffer_span(&bytes);
    check_row(&row, side, METHOD_GET);
    buffer_release(&bytes);
}

static void lines_have_limits(void **state)
{
    static const char get[] = "GET http://a/", tail[] = " HTTP/1.1\r\nHost: a\r\n\r\n";
    size_t path = HTTP1_FIRST_LINE_BYTES - strlen("GET http://a/ HTTP/1.1");
    size_t reason = HTTP1_FIRST_LINE_BYTES - strlen("HTTP/1.1 200 ");

    (void)state;
    check_limit(SIDE_BROWSER, get, path, tail, "none end");
    check_limit(SIDE_BROWSER, get, path + 1, tail, "limit:414");
    check_limit(SIDE_BROWSER, get, 1000000, "", "limit:414");
    check_limit(SIDE_BROWSER, "", 64, " http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "none end");
    check_limit(SIDE_BROWSER, "", 65, " http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "limit:501");
    check_limit(SIDE_OUTGOING, "HTTP/1.1 200 ", reason, "\r\n\r\n", "until-close,close end");
    check_limit(SIDE_OUTGOING, "HTTP/1.1 200 ", reason + 1, "\r\n\r\n", "limit:502");
    check_limit(SIDE_BROWSER, R "X: ", HTTP1_FIELD_BYTES - 3, "\r\n\r\n", "none end");
    check_limit(SIDE_BROWSER, R "X: ", HTTP1_FIELD_BYTES - 2, "\r\n\r\n", "limit:431");
    check_limit(SIDE_BROWSER, R, HTTP1_FIELD_BYTES + 1, ": x\r\n\r\n", "limit:431");
    check_limit(SIDE_OUTGOING, S "X: ", HTTP1_RESPONSE_HEAD_BYTES - 3, "\r\n\r\n",
                "until-close,close end");
    check_limit(SIDE_OUTGOING, S "X: ", HTTP1_RESPONSE_HEAD_BYTES - 2, "\r\n\r\n", "limit:502");
    check_limit(SIDE_BROWSER, C "1;", HTTP1_CHUNK_LINE_BYTES - 2, "\r\nx\r\n0\r\n\r\n",
                "chunked x end");
    check_limit(SIDE_BROWSER, C "1;", HTTP1_CHUNK_LINE_BYTES - 1, "\r\nx\r\n0\r\n\r\n",
                "chunked limit:400");
    check_limit(SIDE_BROWSER, C "0\r\nX: ", HTTP1_TRAILER_BYTES - 3, "\r\n\r\n",
                "chunked trailer:X end");
    check_limit(SIDE_BROWSER, C "0\r\nX: ", HTTP1_TRAILER_BYTES - 2, "\r\n\r\n",
                "chunked limit:431");
}

/* Reads `head`, `count` times `line`, `tail`. */
static void check_count(enum phases_side side, const char *head, size_t count, const char *line,
                        const char *tail, const char *want)
{
    struct buffer bytes = { .limit_bytes = 2 << 20 };
    struct row row = { head, SPAN_NONE, want };

    buffer_append(&bytes, span_text(head));
    while (count--)
        buffer_append(&bytes, span_text(line));
    buffer_append(&bytes, span_text(tail));
    row.bytes = buffer_span(&bytes);
    check_row(&row, side, METHOD_GET);
    buffer_release(&bytes);
}

static void heads_have_limits(void **state)
{
    static const char interim[] = "HTTP/1.1 102 Processing\r\n\r\n";
    char line[1027], last[1027];
    size_t lines = HTTP1_REQUEST_HEAD_BYTES / 1024 - 1;

    (void)state;
    memset(line, 'a', sizeof line);
    memcpy(line, "X:", 2);
    memcpy(line + 1024, "\r\n", 3); // 1,024 bytes and CRLF; Host: a has 7 of the limit
    memcpy(last, line, sizeof last);
    memcpy(last + 1024 - 7, "\r\n", 3);
    check_count(SIDE_BROWSER, R, lines, line, last, "lost:400"); // the head is not over
    memcpy(last + 1024 - 6, "\r\n", 3);
    last[1024 - 7] = 'a';
    check_count(SIDE_BROWSER, R, lines, line, last, "limit:431");
    check_count(SIDE_BROWSER, R, HTTP1_REQUEST_FIELDS - 1, "X: y\r\n", "\r\n", "none end");
    check_count(SIDE_BROWSER, R, HTTP1_REQUEST_FIELDS, "X: y\r\n", "\r\n", "limit:431");
    check_count(SIDE_OUTGOING, S, HTTP1_RESPONSE_FIELDS, "X: y\r\n", "\r\n",
                "until-close,close end");
    check_count(SIDE_OUTGOING, S, HTTP1_RESPONSE_FIELDS + 1, "X: y\r\n", "\r\n", "limit:502");
    check_count(SIDE_BROWSER, C "0\r\n", HTTP1_REQUEST_FIELDS, "Host: y\r\n", "\r\n",
                "chunked end");
    check_count(SIDE_BROWSER, C "0\r\n", HTTP1_REQUEST_FIELDS + 1, "Host: y\r\n", "\r\n",
                "chunked limit:431");
    check_count(SIDE_OUTGOING, "", HTTP1_INTERIM_RESPONSES, interim, S "\r\n",
                "102 102 102 102 102 102 102 102 102 102 102 102 102 102 102 102 102 102 102 102 "
                "102 102 102 102 102 102 102 102 102 102 102 102 until-close,close end");
    check_count(SIDE_OUTGOING, "", HTTP1_INTERIM_RESPONSES + 1, interim, S "\r\n",
                "102 102 102 102 102 102 102 102 102 102 102 102 102 102 102 102 102 102 102 102 "
                "102 102 102 102 102 102 102 102 102 102 102 102 limit:502");
    check_count(SIDE_BROWSER, R "Connection: a", MESSAGE_CONNECTION_NAMES - 1, ",b", "\r\n\r\n",
                "none end");
    check_count(SIDE_BROWSER, R "Connection: a", MESSAGE_CONNECTION_NAMES, ",b", "\r\n\r\n",
                "limit:431");
}

/* ---- the owner's side ---- */

static void classes_follow_the_grammar(void **state)
{
    static const char tchar[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

    (void)state;
    for (unsigned c = 0; c < 256; c++) {
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool digit = c >= '0' && c <= '9';
        bool control = c < 0x20 || c == 0x7f;
        unsigned want = 0;

        want |= c && strchr(tchar, (int)c) ? OCTET_TOKEN : 0;
        want |= !control || c == '\t' ? OCTET_TEXT : 0;
        want |= !control && c != ' ' ? OCTET_TARGET : 0;
        want |= letter || digit || c == '-' || c == '_' || c == '.' ? OCTET_HOST : 0;
        want |= digit || (letter && (c | 0x20) <= 'f') ? OCTET_HEX : 0;
        want |= digit ? OCTET_DIGIT : 0;
        want |= letter ? OCTET_ALPHA : 0;
        want |= c == ' ' || c == '\t' ? OCTET_BLANK : 0;
        if (octet_classes[c] != want)
            fail_msg("byte %02x is %02x, not %02x", c, octet_classes[c], want);
    }
}

static void text_is_checked_at_every_place(void **state)
{
    char bytes[70];

    (void)state;
    for (size_t size = 0; size <= sizeof bytes; size++)
        for (size_t at = 0; at < size; at++)
            for (unsigned c = 0; c < 256; c++) {
                memset(bytes, 'x', sizeof bytes);
                bytes[at] = (char)c;
                if (octets_are_text(span_of(bytes, size)) != !!octet_is((char)c, OCTET_TEXT))
                    fail_msg("byte %02x at %zu of %zu", c, at, size);
            }
}

static void raw_bodies_can_go_past_the_parser(void **state)
{
    struct trace trace;

    (void)state;
    trace_open(&trace, SIDE_OUTGOING, METHOD_GET);
    trace_feed(&trace, SPAN(S "Content-Length: 10\r\nConnection: close\r\n\r\nhell"));
    assert_true(http1_raw_left(trace.parser) == 6);
    http1_skip(trace.parser, 5);
    assert_int_equal(http1_phase(trace.parser), PHASE_BODY);
    http1_skip(trace.parser, 1);
    assert_int_equal(http1_phase(trace.parser), PHASE_FINISHED);
    assert_int_equal(trace.messages, 1);
    assert_true(http1_raw_left(trace.parser) == 0);
    trace_close(&trace);

    trace_open(&trace, SIDE_OUTGOING, METHOD_GET);
    trace_feed(&trace, SPAN(S "\r\nhell"));
    assert_true(http1_raw_left(trace.parser) == UINT64_MAX);
    http1_skip(trace.parser, 5);
    http1_end(trace.parser);
    assert_int_equal(http1_phase(trace.parser), PHASE_FINISHED);
    trace_close(&trace);

    trace_open(&trace, SIDE_OUTGOING, METHOD_GET);
    trace_feed(&trace, SPAN(SC "5\r\nhe"));
    assert_true(http1_raw_left(trace.parser) == 0);
    trace_close(&trace);
}

static void stop_on_first_line(void *owner)
{
    struct trace *trace = owner;
    trace->messages++;
    http1_stop(trace->parser);
}

static void a_stopped_parser_is_silent(void **state)
{
    static const struct phases_events events = { .on_started = stop_on_first_line };
    struct trace trace;

    (void)state;
    trace_open(&trace, SIDE_BROWSER, METHOD_OTHER);
    http1_free(&trace.parser);
    trace.parser = http1_new(SIDE_BROWSER, &events, &trace);
    http1_begin(trace.parser, &trace.message, METHOD_OTHER);
    http1_feed(trace.parser, SPAN(R "\r\n"));
    assert_int_equal(http1_phase(trace.parser), PHASE_FAILED);
    assert_true(http1_feed(trace.parser, SPAN("x")) == 0);
    http1_end(trace.parser);
    http1_stop(trace.parser);
    assert_int_equal(trace.messages, 1);
    trace_close(&trace);
}

static void a_small_arena_ends_in_431(void **state)
{
    struct trace trace;

    (void)state;
    for (size_t limit = 0; limit < 4096; limit += 16) {
        trace_open(&trace, SIDE_BROWSER, METHOD_OTHER);
        trace.arena.limit_bytes = limit;
        trace_feed(&trace, SPAN(R "Foo: bar\r\n\r\n"));
        if (trace.failed)
            assert_true(span_starts(buffer_span(&trace.brief), SPAN("limit:431")));
        else
            assert_true(limit > 24 * sizeof(struct field));
        trace_close(&trace);
    }
}

static void phases_follow_the_road(void **state)
{
    (void)state;
    assert_true(phase_may_follow(PHASE_FIRST_LINE, PHASE_HEADERS));
    assert_true(phase_may_follow(PHASE_HEADERS, PHASE_FIRST_LINE));
    assert_false(phase_may_follow(PHASE_BODY, PHASE_HEADERS));
    assert_false(phase_may_follow(PHASE_FAILED, PHASE_FIRST_LINE));
    assert_false(phase_may_follow(PHASES, PHASE_FIRST_LINE));
    for (int i = 0; i < PHASES; i++)
        assert_true(strlen(phase_name((enum phase)i)) > 0);
}

/* ---- writing ---- */

static void requests_are_written_anew(void **state)
{
    static const struct {
        const char *name;
        struct span bytes;
        const char *want;
    } cases[] = {
        { "Host first, and only ours", SPAN("GET http://a:81/ HTTP/1.1\r\nX: 1\r\nhost: b\r\n\r\n"),
          "GET /t HTTP/1.1\r\nHost: h:1\r\nX: 1\r\n\r\n" },
        { "HTTP/1.0 becomes 1.1", SPAN("GET http://a/ HTTP/1.0\r\n\r\n"),
          "GET /t HTTP/1.1\r\nHost: h:1\r\nConnection: close\r\n\r\n" },
        { "length anew", SPAN(P "content-length:  007 \r\n\r\n"),
          "POST /t HTTP/1.1\r\nHost: h:1\r\nContent-Length: 7\r\n\r\n" },
        { "length 0 stays", SPAN(P "Content-Length: 0\r\n\r\n"),
          "POST /t HTTP/1.1\r\nHost: h:1\r\nContent-Length: 0\r\n\r\n" },
        { "chunked anew", SPAN(P "transfer-encoding: Chunked\r\n\r\n"),
          "POST /t HTTP/1.1\r\nHost: h:1\r\nTransfer-Encoding: chunked\r\n\r\n" },
        { "for one connection",
          SPAN(R "Connection: close, x-a ,B\r\nX-A: 1\r\nb: 2\r\nC: 3\r\n"
                 "Keep-Alive: x\r\nProxy-Connection: x\r\n"
                 "Proxy-Authorization: x\r\nTE: gzip\r\nTrailer: y\r\n\r\n"),
          "GET /t HTTP/1.1\r\nHost: h:1\r\nC: 3\r\nConnection: close\r\n\r\n" },
        { "needed fields stay",
          SPAN(P "Connection: host, content-length, content-type, via\r\n"
                 "Content-Type: t\r\nVia: v\r\nContent-Length: 1\r\n\r\n"),
          "POST /t HTTP/1.1\r\nHost: h:1\r\nContent-Type: t\r\nVia: v\r\n"
          "Content-Length: 1\r\n\r\n" },
        { "a quote hides no name", SPAN(R "Connection: \"a, x-b, c\"\r\nX-B: 1\r\n\r\n"),
          "GET /t HTTP/1.1\r\nHost: h:1\r\n\r\n" },
        { "TE: trailers stays", SPAN(R "TE: gzip, trailers\r\nConnection: TE\r\n\r\n"),
          "GET /t HTTP/1.1\r\nHost: h:1\r\nTE: trailers\r\nConnection: TE\r\n\r\n" },
        { "upgrade stays", SPAN(R "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
          "GET /t HTTP/1.1\r\nHost: h:1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n" },
        { "no h2c",
          SPAN(R "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
                 "HTTP2-Settings: AAMAAABk\r\n\r\n"),
          "GET /t HTTP/1.1\r\nHost: h:1\r\n\r\n" },
        { "no h2c, but the rest",
          SPAN(R "Connection: Upgrade\r\nUpgrade: h2c, websocket, TLS/1.0"
                 "\r\nUpgrade: foo/2, HTTP/2.0\r\n\r\n"),
          "GET /t HTTP/1.1\r\nHost: h:1\r\nUpgrade: websocket, foo/2\r\n"
          "Connection: upgrade\r\n\r\n" },
        { "Upgrade not named", SPAN(R "Upgrade: foo/2\r\n\r\n"),
          "GET /t HTTP/1.1\r\nHost: h:1\r\n\r\n" },
        { "Trailer with chunks", SPAN(P "Trailer: X\r\nTransfer-Encoding: chunked\r\n\r\n"),
          "POST /t HTTP/1.1\r\nHost: h:1\r\nTrailer: X\r\nTransfer-Encoding: chunked\r\n\r\n" },
        { "Expect for nothing", SPAN(R "Expect: 100-continue\r\n\r\n"),
          "GET /t HTTP/1.1\r\nHost: h:1\r\n\r\n" },
        { "blanks around values", SPAN(R "X:\t a b \t\r\nY:\r\n\r\n"),
          "GET /t HTTP/1.1\r\nHost: h:1\r\nX: a b\r\nY: \r\n\r\n" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http1_request_line line = { SPAN("/t"), SPAN("h:1"), false };
        struct trace trace;

        trace_open(&trace, SIDE_BROWSER, METHOD_OTHER);
        trace_feed(&trace, cases[i].bytes);
        message_drop_hop_by_hop(&trace.message);
        line.close = !trace.message.keep_alive;
        assert_true(http1_write_request(&trace.written, &trace.message, &line));
        if (!span_equal(buffer_span(&trace.written), span_text(cases[i].want)))
            fail_msg("%s: got\n%.*s", cases[i].name, SPAN_PRINT(buffer_span(&trace.written)));
        trace_close(&trace);
    }
}

static void responses_are_written_anew(void **state)
{
    static const struct {
        const char *name;
        enum method answers;
        struct span bytes;
        const char *want;
    } cases[] = {
        { "length", METHOD_GET, SPAN("HTTP/1.0 200 \r\nX: 1\r\ncontent-length: 05\r\n\r\nhello"),
          "HTTP/1.1 200 \r\nX: 1\r\nContent-Length: 5\r\n\r\n" },
        { "chunked", METHOD_GET, SPAN(SC),
          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" },
        { "until close", METHOD_GET, SPAN(S "\r\n"),
          "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" },
        { "204 has no length", METHOD_GET, SPAN("HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n"),
          "HTTP/1.1 204 No\r\n\r\n" },
        { "304 keeps its length", METHOD_GET, SPAN("HTTP/1.1 304 No\r\nContent-Length: 7\r\n\r\n"),
          "HTTP/1.1 304 No\r\nContent-Length: 7\r\n\r\n" },
        { "304 without", METHOD_GET, SPAN("HTTP/1.1 304 No\r\n\r\n"), "HTTP/1.1 304 No\r\n\r\n" },
        { "HEAD keeps its length", METHOD_HEAD, SPAN(S "Content-Length: 7\r\n\r\n"),
          "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n" },
        { "HEAD without", METHOD_HEAD, SPAN(S "Transfer-Encoding: chunked\r\n\r\n"),
          "HTTP/1.1 200 OK\r\n\r\n" },
        { "CONNECT", METHOD_CONNECT, SPAN(S "Content-Length: 7\r\nX: 1\r\n\r\n"),
          "HTTP/1.1 200 OK\r\nX: 1\r\n\r\n" },
        { "CONNECT refused", METHOD_CONNECT, SPAN("HTTP/1.1 403 No\r\nContent-Length: 7\r\n\r\n"),
          "HTTP/1.1 403 No\r\nContent-Length: 7\r\n\r\n" },
        { "101", METHOD_GET,
          SPAN("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
               "Upgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n"),
          "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\nUpgrade: websocket\r\n"
          "Connection: upgrade\r\n\r\n" },
        { "for one connection", METHOD_GET,
          SPAN(S "Connection: close, X-Resp\r\nX-Resp: 1\r\nKeep-Alive: timeout=5\r\n"
                 "Proxy-Connection: keep-alive\r\nProxy-Authenticate: Basic realm=x\r\n"
                 "Proxy-Authentication-Info: x\r\nUpgrade: h2\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n"
                 "Host: x\r\nContent-Length: 0\r\n\r\n"),
          "HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nHost: x\r\n"
          "Content-Length: 0\r\n\r\n" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct trace trace;

        trace_open(&trace, SIDE_OUTGOING, cases[i].answers);
        trace_feed(&trace, cases[i].bytes);
        message_drop_hop_by_hop(&trace.message);
        assert_true(http1_write_response(&trace.written, &trace.message, cases[i].answers, false));
        if (!span_equal(buffer_span(&trace.written), span_text(cases[i].want)))
            fail_msg("%s: got\n%.*s", cases[i].name, SPAN_PRINT(buffer_span(&trace.written)));
        trace_close(&trace);
    }
}

static void our_own_responses_are_framed(void **state)
{
    struct buffer out = { .limit_bytes = 1024 };
    struct message message;
    struct arena arena;

    (void)state;
    arena_init(&arena, 4096);
    message_init(&message, &arena, false);
    message.status = 404;
    assert_true(http1_write_response(&out, &message, METHOD_GET, true));
    assert_true(span_equal(buffer_span(&out), SPAN("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n"
                                                   "Connection: close\r\n\r\n")));
    out.size = 0;
    message.status = 302;
    message.framing = FRAMING_LENGTH;
    message.body_bytes = UINT64_MAX;
    assert_true(message_add(&message, SPAN("Location"), SPAN("/")));
    assert_true(http1_write_response(&out, &message, METHOD_GET, false));
    assert_true(
        span_equal(buffer_span(&out), SPAN("HTTP/1.1 302 Found\r\nLocation: /\r\n"
                                           "Content-Length: 18446744073709551615\r\n\r\n")));
    out.size = 1000; // no room: nothing is written
    assert_false(http1_write_response(&out, &message, METHOD_GET, false));
    assert_int_equal(out.size, 1000);
    buffer_release(&out);
    arena_done(&arena);
}

static void chunks_are_written(void **state)
{
    static const struct {
        uint64_t size;
        const char *want;
    } cases[] = {
        { 0, "0\r\n" },   { 1, "1\r\n" },         { 15, "f\r\n" },
        { 16, "10\r\n" }, { 0x1a2b, "1a2b\r\n" }, { UINT64_MAX, "ffffffffffffffff\r\n" },
    };
    char head[HTTP1_CHUNK_HEAD_BYTES];
    struct buffer out = { .limit_bytes = 64 };
    struct message message;
    struct arena arena;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_true(span_equal(span_of(head, http1_chunk_head(head, cases[i].size)),
                               span_text(cases[i].want)));
    arena_init(&arena, 4096);
    message_init(&message, &arena, false);
    assert_true(http1_write_last_chunk(&out, &message));
    assert_true(message_add_trailer(&message, SPAN("A"), SPAN("1")));
    assert_true(message_add_trailer(&message, SPAN("B"), SPAN("2")));
    message.trailers[0].is_dropped = true;
    assert_true(http1_write_last_chunk(&out, &message));
    assert_true(span_equal(buffer_span(&out), SPAN("0\r\n\r\n0\r\nB: 2\r\n\r\n")));
    buffer_release(&out);
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_told_alike_however_cut),
        cmocka_unit_test(responses_are_told_alike_however_cut),
        cmocka_unit_test(lines_have_limits),
        cmocka_unit_test(heads_have_limits),
        cmocka_unit_test(classes_follow_the_grammar),
        cmocka_unit_test(text_is_checked_at_every_place),
        cmocka_unit_test(raw_bodies_can_go_past_the_parser),
        cmocka_unit_test(a_stopped_parser_is_silent),
        cmocka_unit_test(a_small_arena_ends_in_431),
        cmocka_unit_test(phases_follow_the_road),
        cmocka_unit_test(requests_are_written_anew),
        cmocka_unit_test(responses_are_written_anew),
        cmocka_unit_test(our_own_responses_are_framed),
        cmocka_unit_test(chunks_are_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
