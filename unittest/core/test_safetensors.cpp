// SPDX-License-Identifier: GPL-2.0-only
#include "core/io/safetensors.hpp"

#include <cstring>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/base/error.hpp"
#include "temporary_folder.hpp"

namespace {

using godiff::Error;
using godiff::SafeTensors;
using godiff_test::content;
using godiff_test::message_of;
using godiff_test::put_content;
using godiff_test::TemporaryFolder;

bool same(const at::Tensor &a, const at::Tensor &b) {
  return a.scalar_type() == b.scalar_type() && a.sizes() == b.sizes() && at::equal(a, b);
}

std::string file_bytes(const std::string &json, const std::string &data) {
  const std::uint64_t length = json.size();
  std::string bytes(reinterpret_cast<const char *>(&length), 8);
  return bytes + json + data;
}

std::string refusal(const std::string &bytes) {
  return message_of<Error>([&] { SafeTensors::from_bytes(bytes, "g.ckpt"); });
}

// The tensors of PYTHON_BYTES.
SafeTensors sample() {
  SafeTensors file;
  file.put("z", at::tensor({1.5f, -2.0f}));
  file.put("a", at::tensor({0, 1, 2}, at::kByte));
  file.put("n", at::tensor({1, -2}, at::kLong).view({2, 1}));
  file.put("flag", at::tensor({1, 0}).to(at::kBool));
  file.put("d", at::scalar_tensor(0.1, at::kDouble));
  file.put("i", at::tensor({7}, at::kInt));
  file.put("empty", at::empty({0, 3}, at::kDouble));
  file.put_metadata("format", "godiff-checkpoint");
  return file;
}

// What safetensors 0.8.0 for Python (safetensors.numpy.save) writes for them.
const std::string
    PYTHON_BYTES("\xc0\x01\x00\x00\x00\x00\x00\x00"
                 R"({"__metadata__":{"format":"godiff-checkpoint"},)"
                 R"("n":{"dtype":"I64","shape":[2,1],"data_offsets":[0,16]},)"
                 R"("d":{"dtype":"F64","shape":[],"data_offsets":[16,24]},)"
                 R"("empty":{"dtype":"F64","shape":[0,3],"data_offsets":[24,24]},)"
                 R"("z":{"dtype":"F32","shape":[2],"data_offsets":[24,32]},)"
                 R"("i":{"dtype":"I32","shape":[1],"data_offsets":[32,36]},)"
                 R"("a":{"dtype":"U8","shape":[3],"data_offsets":[36,39]},)"
                 R"("flag":{"dtype":"BOOL","shape":[2],"data_offsets":[39,41]}}       )"
                 "\x01\x00\x00\x00\x00\x00\x00\x00\xfe\xff\xff\xff\xff\xff\xff\xff"
                 "\x9a\x99\x99\x99\x99\x99\xb9\x3f\x00\x00\xc0\x3f\x00\x00\x00\xc0"
                 "\x07\x00\x00\x00\x00\x01\x02\x01\x00",
                 8 + 448 + 41);

TEST(SafeTensors, SameBytesAsTheReferenceImplementation) {
  EXPECT_EQ(sample().to_bytes(), PYTHON_BYTES);
}

TEST(SafeTensors, ReadsTheReferenceImplementation) {
  const SafeTensors file = SafeTensors::from_bytes(PYTHON_BYTES, "python");
  const SafeTensors expected = sample();
  EXPECT_EQ(file.names(), (std::vector<std::string>{"a", "d", "empty", "flag", "i", "n", "z"}));
  for (const auto &name : file.names())
    EXPECT_TRUE(same(file.get(name), expected.get(name))) << name;
  EXPECT_EQ(file.metadata(), expected.metadata());
  EXPECT_EQ(file.to_bytes(), PYTHON_BYTES);
}

TEST(SafeTensors, RoundTripOfEveryTypeIsExact) {
  TemporaryFolder folder;
  SafeTensors file;
  std::vector<at::Tensor> tensors;
  for (const at::ScalarType type : {at::kLong, at::kDouble, at::kFloat, at::kInt, at::kHalf,
                                    at::kBFloat16, at::kShort, at::kChar, at::kByte, at::kBool}) {
    tensors.push_back(at::arange(-3, 4).view({7, 1, 1}).to(type));
    file.put(at::toString(type), tensors.back());
  }
  const at::Tensor special = at::empty({4}, at::kDouble);
  const double values[4] = {std::nan(""), -INFINITY, -0.0, 4.9e-324};
  std::memcpy(special.data_ptr(), values, sizeof(values));
  file.put("special", special);
  file.put_metadata("text", "line one\nline \"two\" \xc3\xa9");
  file.put_metadata("", "");
  file.write(folder.file("g.ckpt"));

  const SafeTensors back = SafeTensors::read(folder.file("g.ckpt"));
  for (const auto &tensor : tensors)
    EXPECT_TRUE(same(back.get(at::toString(tensor.scalar_type())), tensor)) << tensor.dtype();
  EXPECT_EQ(std::memcmp(back.get("special").data_ptr(), values, sizeof(values)), 0);
  EXPECT_EQ(back.metadata("text"), "line one\nline \"two\" \xc3\xa9");
  EXPECT_EQ(back.metadata(""), "");
  EXPECT_EQ(back.to_bytes(), content(folder.file("g.ckpt")));
}

TEST(SafeTensors, KeepsACopyInPlainOrder) {
  at::Tensor tensor = at::arange(6, at::kDouble).view({2, 3});
  SafeTensors file;
  file.put("transposed", tensor.t());
  file.put("learned", tensor.clone().set_requires_grad(true));
  tensor.fill_(-1.0);
  EXPECT_TRUE(same(file.get("transposed"), at::arange(6, at::kDouble).view({2, 3}).t()));
  EXPECT_TRUE(file.get("transposed").is_contiguous());
  EXPECT_FALSE(file.get("learned").requires_grad());
  const SafeTensors back = SafeTensors::from_bytes(file.to_bytes(), "x");
  EXPECT_TRUE(same(back.get("transposed"), file.get("transposed")));
}

TEST(SafeTensors, AdoptedTensorsAreWrittenWithoutACopy) {
  const at::Tensor tensor = at::arange(6, at::kDouble).view({2, 3});
  SafeTensors adopted, copied;
  adopted.adopt("a", tensor);
  copied.put("a", tensor);
  EXPECT_EQ(adopted.get("a").const_data_ptr(), tensor.const_data_ptr());
  EXPECT_NE(copied.get("a").const_data_ptr(), tensor.const_data_ptr());

  adopted.put("b", at::ones({2}, at::kByte));
  adopted.put("nothing", at::empty({0}, at::kDouble));
  std::string header, bytes;
  const std::vector<std::string_view> pieces = adopted.pieces(header);
  ASSERT_EQ(pieces.size(), 3u);
  EXPECT_EQ(static_cast<const void *>(pieces[1].data()), tensor.const_data_ptr());
  for (const std::string_view piece : pieces)
    bytes += piece;
  EXPECT_EQ(bytes, adopted.to_bytes());

  EXPECT_NE(message_of<Error>([&] { adopted.adopt("t", tensor.t()); }), "");
  EXPECT_NE(message_of<Error>([&] { adopted.adopt("g", tensor.clone().set_requires_grad(true)); }),
            "");
  EXPECT_NE(message_of<Error>([&] { adopted.adopt("__metadata__", tensor); }), "");
}

TEST(SafeTensors, DataAreAligned) {
  SafeTensors file;
  file.put("a", at::zeros({3}, at::kByte));
  file.put("b", at::zeros({1}, at::kDouble));
  for (int k = 0; k < 9; ++k) {
    file.put_metadata("k", std::string(k, 'x'));
    const std::string bytes = file.to_bytes();
    std::uint64_t length;
    std::memcpy(&length, bytes.data(), 8);
    EXPECT_EQ(length % 8, 0u);
    EXPECT_EQ(bytes.size(), 8 + length + 8 + 3);
  }
}

TEST(SafeTensors, EmptyFile) {
  const std::string bytes = SafeTensors().to_bytes();
  EXPECT_TRUE(SafeTensors::from_bytes(bytes, "x").names().empty());
  EXPECT_EQ(bytes, file_bytes("{}      ", ""));
}

TEST(SafeTensors, MissingEntriesAreNamed) {
  const SafeTensors file = SafeTensors::from_bytes(PYTHON_BYTES, "old.ckpt");
  EXPECT_TRUE(file.has("z"));
  EXPECT_FALSE(file.has("w"));
  EXPECT_TRUE(file.has_metadata("format"));
  EXPECT_FALSE(file.has_metadata("network"));
  EXPECT_EQ(message_of<Error>([&] { file.get("w"); }), "old.ckpt has no tensor 'w'");
  EXPECT_EQ(message_of<Error>([&] { file.metadata("network"); }),
            "old.ckpt has no metadata entry 'network'");
}

TEST(SafeTensors, RefusesToStoreWhatTheFormatLacks) {
  SafeTensors file;
  EXPECT_NE(message_of<Error>([&] {
              file.put("c", at::zeros({1}, at::kComplexDouble));
            }).find("tensor 'c' cannot be stored"),
            std::string::npos);
  EXPECT_NE(message_of<Error>([&] { file.put("u", at::Tensor()); }).find("'u'"), std::string::npos);
  EXPECT_NE(message_of<Error>([&] { file.put("__metadata__", at::zeros({1})); }), "");
  file.put_metadata("bad", "\xff");
  EXPECT_NE(message_of<Error>([&] { file.to_bytes(); }).find("not UTF-8"), std::string::npos);
}

struct Broken {
  const char *json;
  std::size_t data_bytes;
  const char *reason;
};

const Broken BROKEN[] = {
    // structure of the JSON text
    {"", 0, "its header is not JSON"},
    {"[]", 0, "its header is not JSON"},
    {" {}", 0, "its header is not JSON"},
    {"\xef\xbb\xbf{}", 0, "its header is not JSON"},
    {"{", 0, "its header is not JSON"},
    {"{}{}", 0, "its header is not JSON"},
    {"{},", 0, "its header is not JSON"},
    {"{\"a\xff\":1}", 0, "its header is not JSON"},
    {R"({"a":1})", 0, "unexpected number in the header entry 'a'"},
    {R"({"a":null})", 0, "unexpected null"},
    {R"({"a":true})", 0, "unexpected true or false"},
    {R"({"a":"x"})", 0, "unexpected string"},
    {R"({"a":[]})", 0, "unexpected array"},
    {R"({"a":{"b":{}}})", 0, "unknown field 'b'"},
    {R"({"a":{"dtype":{"x":1}}})", 0, "unexpected object"},
    {R"({"a":{"dtype":"U8","shape":[[1]],"data_offsets":[0,1]}})", 1, "unexpected array"},
    // metadata
    {R"({"__metadata__":[]})", 0, "unexpected array"},
    {R"({"__metadata__":{"a":1}})", 0, "unexpected number"},
    {R"({"__metadata__":{"a":{}}})", 0, "unexpected object"},
    {R"({"__metadata__":{"a":"1","a":"2"}})", 0, "repeated key 'a'"},
    {R"({"__metadata__":{},"__metadata__":{}})", 0, "repeated name"},
    // fields of a tensor
    {R"({"a":{"dtype":"U8","shape":[1]}})", 1, "dtype, shape or data_offsets is missing"},
    {R"({"a":{"dtype":"U8","data_offsets":[0,1]}})", 1, "dtype, shape or data_offsets is missing"},
    {R"({"a":{"shape":[1],"data_offsets":[0,1]}})", 1, "dtype, shape or data_offsets is missing"},
    {R"({"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1,
     "repeated field 'dtype'"},
    {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
     R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
     1, "repeated name in the header entry 'a'"},
    {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":1}})", 1, "unknown field 'x'"},
    {R"({"a":{"dtype":"Q8","shape":[1],"data_offsets":[0,1]}})", 1,
     "tensor 'a': its dtype 'Q8' is unknown"},
    {R"({"a":{"dtype":8,"shape":[1],"data_offsets":[0,1]}})", 1, "unexpected number"},
    {R"({"a":{"dtype":"U8","shape":1,"data_offsets":[0,1]}})", 1, "unexpected number"},
    {R"({"a":{"dtype":"U8","shape":["1"],"data_offsets":[0,1]}})", 1, "unexpected string"},
    {R"({"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}})", 1, "negative number -1"},
    {R"({"a":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}})", 1,
     "number 1.0 is not an integer"},
    {R"({"a":{"dtype":"U8","shape":[1e99],"data_offsets":[0,1]}})", 1, "is not an integer"},
    {R"({"a":{"dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,1]}})", 1, "too large"},
    {R"({"a":{"dtype":"U8","shape":[18446744073709551616],"data_offsets":[0,1]}})", 1,
     "is not an integer"},
    {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0]}})", 1, "data_offsets is not a pair"},
    {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,1]}})", 1, "data_offsets is not a pair"},
    {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[-1,0]}})", 1, "negative number"},
    // shape against data
    {R"({"a":{"dtype":"F64","shape":[2],"data_offsets":[0,8]}})", 8,
     "tensor 'a': its shape needs 16 bytes, it has 8"},
    {R"({"a":{"dtype":"U8","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,0]}})", 0,
     "tensor 'a': its shape is too large"},
    {R"({"a":{"dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,0]}})", 0,
     "tensor 'a': its shape is too large"},
    {R"({"a":{"dtype":"U8","shape":[0,4611686018427387904,4],"data_offsets":[0,0]}})", 0,
     "tensor 'a': its shape is too large"},
    {R"({"a":{"dtype":"U8","shape":[1000000000000],"data_offsets":[0,1000000000000]}})", 3,
     "it is truncated: 3 of 1000000000000 bytes of data are there"},
    {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[1,0]}})", 0, "gap at byte 0"},
    {R"({"a":{"dtype":"U8","shape":[],"data_offsets":[0,2]},)"
     R"("b":{"dtype":"U8","shape":[],"data_offsets":[2,1]}})",
     1, "tensor 'a': its data end at byte 2 of 1"},
    {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,18446744073709551615]}})", 1, "truncated"},
    // layout
    {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 0, "truncated: 0 of 1"},
    {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 2,
     "its tensors end at byte 1 of 2 bytes of data"},
    {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})", 2, "leave a gap at byte 0"},
    {R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
     R"("b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
     3, "overlap or leave a gap at byte 1"},
    {R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
     R"("b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})",
     2, "overlap or leave a gap at byte 0"},
    {R"({})", 1, "its tensors end at byte 0 of 1"},
    {R"({"a\nb":{"dtype":"Q8","shape":[1],"data_offsets":[0,1]}})", 1, "tensor 'a?b'"},
};

TEST(SafeTensors, RefusesBrokenFilesInOneLine) {
  for (const Broken &broken : BROKEN) {
    const std::string message = refusal(file_bytes(broken.json, std::string(broken.data_bytes, 0)));
    EXPECT_EQ(message.rfind("g.ckpt is not a checkpoint: ", 0), 0u) << broken.json << "\n"
                                                                    << message;
    EXPECT_NE(message.find(broken.reason), std::string::npos) << broken.json << "\n" << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    EXPECT_LE(message.size(), 400u);
  }
}

TEST(SafeTensors, RefusesABoolThatIsNone) {
  EXPECT_EQ(
      refusal(file_bytes(R"({"a":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}})", "\x01\x02")),
      "g.ckpt is not a checkpoint: tensor 'a': it holds a bool that is neither 0 nor 1");
}

TEST(SafeTensors, RefusesWrongLengths) {
  EXPECT_EQ(refusal(""), "g.ckpt is not a checkpoint: it has only 0 bytes");
  EXPECT_EQ(refusal("1234567"), "g.ckpt is not a checkpoint: it has only 7 bytes");
  // Another kind of file: the first bytes of a zip archive (a pickle of PyTorch).
  EXPECT_NE(refusal(std::string("PK\x03\x04\x00\x00\x08\x08\x00\x00", 10) + std::string(100, 'x'))
                .find("bytes does not fit into 110 bytes (truncated, or another kind of file)"),
            std::string::npos);
  for (const std::uint64_t length : {std::uint64_t(3), ~std::uint64_t(0), ~std::uint64_t(0) - 7}) {
    std::string bytes = file_bytes("{}", "");
    std::memcpy(&bytes[0], &length, 8);
    EXPECT_NE(refusal(bytes).find("does not fit"), std::string::npos);
  }
}

TEST(SafeTensors, DeepNestingIsRefused) {
  std::string json = R"({"a":)";
  for (int k = 0; k < 1000000; ++k)
    json += R"({"a":)";
  EXPECT_NE(refusal(file_bytes(json, "")).find("is not a checkpoint: "), std::string::npos);
  EXPECT_NE(refusal(file_bytes("{\"a\":" + std::string(1000000, '['), "")), "");
}

TEST(SafeTensors, LongForeignNamesAreCut) {
  const std::string message = refusal(file_bytes("{\"" + std::string(10000, 'n') + "\":1}", ""));
  EXPECT_LT(message.size(), 400u);
}

TEST(SafeTensors, EveryTruncationIsRefused) {
  for (std::size_t size = 0; size < PYTHON_BYTES.size(); ++size)
    EXPECT_NE(refusal(PYTHON_BYTES.substr(0, size)), "") << size;
  EXPECT_NE(refusal(PYTHON_BYTES + " "), "");
}

TEST(SafeTensors, EveryChangedByteIsReadOrRefused) {
  // No crash, no hang, no huge allocation; what is accepted has the size of the file.
  int refused = 0, accepted = 0;
  for (std::size_t k = 0; k < PYTHON_BYTES.size(); ++k)
    for (const char change : {'\x01', '\x10', '\x80', '\x03'}) {
      std::string bytes = PYTHON_BYTES;
      bytes[k] = static_cast<char>(bytes[k] ^ change);
      try {
        const SafeTensors file = SafeTensors::from_bytes(bytes, "x");
        std::size_t data = 0;
        for (const auto &name : file.names())
          data += file.get(name).nbytes();
        EXPECT_LE(data, 41u + 8u);
        ++accepted;
      } catch (const Error &) {
        ++refused;
      }
    }
  EXPECT_GT(refused, 1000);
  EXPECT_GT(accepted, 100);  // changed values and names are no error of the format
}

TEST(SafeTensors, FileErrorsNameThePath) {
  TemporaryFolder folder;
  const std::string path = folder.file("g.ckpt");
  EXPECT_EQ(message_of<Error>([&] { SafeTensors::read(path); }),
            "cannot open " + path + ": No such file or directory");
  put_content(path, "LAMMPS data file\n\n10 atoms\n");
  const std::string message = message_of<Error>([&] { SafeTensors::read(path); });
  EXPECT_EQ(message.rfind(path + " is not a checkpoint: its header of ", 0), 0u) << message;
  EXPECT_EQ(message_of<Error>([&] { SafeTensors().write(folder.file("none/g")); }),
            "cannot create " + folder.file("none/g") + ": No such file or directory");
}

}  // namespace
