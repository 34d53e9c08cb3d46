# Parity of everything from files to batches with Pillow, torchvision and torch's sampler.
ferrun_test(data_parity_test SOURCES data_folders_test.cc data_pictures_test.cc resize_test.cc sampler_test.cc split_test.cc transforms_test.cc
            LIBS ferrun_data ferrun_sampler nlohmann_json::nlohmann_json LABELS parity TIMEOUT 600)
if(FERRUN_WITH_TORCH)
  ferrun_test(samplers_parity_test SOURCES samplers_test.cc LIBS ferrun_optim nlohmann_json::nlohmann_json LABELS parity TIMEOUT 600)
endif()
