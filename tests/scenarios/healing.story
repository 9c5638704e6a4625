# A middle node is killed while a village is watched from the county.
> node county
> node township under county
> node village under township
> join zhao at village
> join liu at county
> join wu at township
  county knows liu, wu, zhao
    liu sees wu.camera; hears wu.voice, zhao.voice
  township knows liu, wu, zhao
    wu sees liu.camera; hears liu.voice, zhao.voice
  village knows liu, wu, zhao
    zhao sees liu.camera; hears liu.voice, wu.voice
  county -> township: liu.camera, liu.voice
  township -> county: wu.camera, wu.voice, zhao.voice
  township -> village: liu.camera, liu.voice, wu.voice
  village -> township: zhao.voice

> kill township
  county knows liu, zhao
    liu sees zhao.camera; hears zhao.voice
  township knows liu, zhao
  village knows liu, zhao
    zhao sees liu.camera; hears liu.voice
  county -> township: liu.camera, liu.voice
  township -> county: zhao.camera, zhao.voice
  township -> village: liu.camera, liu.voice
  village -> township: zhao.camera, zhao.voice

# The uplink of the village is cut: both sides go on alone, and find each other again.
> cut village
  county knows liu
    liu sees -; hears -
  township knows liu
  village knows zhao
    zhao sees -; hears -

> join sun at village
  county knows liu
    liu sees -; hears -
  township knows liu
  village knows sun, zhao
    sun sees zhao.camera; hears zhao.voice
    zhao sees sun.camera; hears sun.voice

> mend village
  county knows liu, sun, zhao
    liu sees sun.camera; hears sun.voice, zhao.voice
  township knows liu, sun, zhao
  village knows liu, sun, zhao
    sun sees liu.camera; hears liu.voice, zhao.voice
    zhao sees liu.camera; hears liu.voice, sun.voice
  county -> township: liu.camera, liu.voice
  township -> county: sun.camera, sun.voice, zhao.voice
  township -> village: liu.camera, liu.voice
  village -> township: sun.camera, sun.voice, zhao.voice

# A camera that is switched off is carried no longer; the voice still is.
> off sun
  county knows liu, sun, zhao
    liu sees zhao.camera; hears sun.voice, zhao.voice
  township knows liu, sun, zhao
  village knows liu, sun, zhao
    sun sees liu.camera; hears liu.voice, zhao.voice
    zhao sees liu.camera; hears liu.voice, sun.voice
  county -> township: liu.camera, liu.voice
  township -> county: sun.voice, zhao.camera, zhao.voice
  township -> village: liu.camera, liu.voice
  village -> township: sun.voice, zhao.camera, zhao.voice
